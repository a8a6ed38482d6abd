// Package masking turns rows into the JSON that a reader of them may see: the
// columns that a table shows are kept, and of these the ones that say too much
// are masked.
//
// It is pure: standard library, no goroutines, no state beside its tables, which
// are immutable.
//
// Invariants:
//
//   - What is not listed is not there. What is listed and looks like a secret is
//     redacted, unless its mask is [None].
//   - Masks fail closed: a value that its mask cannot parse, or that is no text,
//     becomes [Redacted]. NULL stays NULL.
//   - What a reader gets depends on the row and on its [Clear] alone, so readers
//     with the same Clear can share one encoding.
//   - An encoding is valid JSON in valid UTF-8, or an error.
package masking
