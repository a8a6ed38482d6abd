// Package access decides what a known caller may do in a room, from what an application declares of its tables: which
// rows a caller may know of (the firewall), who may read and write them, and how room ids name them. It makes the
// gate.Authorizer of each party.
//
// Invariants:
//
//   - The order is that of an API over the same rows: no identity is 401, a missing role 403 before any query, then one
//     query for the row behind its firewall, no row 403 or 404, a record that is not as the rule wants it 403. The rules
//     of writing, the room's and the resource's, refuse nobody: they make read-only.
//   - One decision is one query at most, and so are ten thousand: AuthorizeAll asks the same question with the callers as
//     a table.
//   - Nothing that a caller or a declaration says is part of a query's text, but table and column names, which are
//     quoted. Values are parameters, with the type that the catalogue has for their column.
//   - Everything fails closed. A clause whose value the caller does not have is false, without a query; so is one whose
//     value the column's type cannot hold. A NULL column satisfies no test but isNull, not even notEquals and notIn. An
//     "or" that no part of holds is false. A mistake in the declaration is an error of New or Room, never a rule less.
//   - A room id is a row's key if the key's text is the id, byte for byte. Other spellings that the type takes for the
//     same (07, an upper-case uuid, other case under a collation) are rows that do not exist.
//   - What cannot be decided is an error with a 503 in it. It admits nobody, and says nothing about anybody.
//   - The user's own role "admin" passes roles and records of every rule, and no firewall, no id and no webhook.
//   - PUBLIC lets callers without identity read where a rule of reading names it; they write only where every rule of
//     writing that there is names it too, and the resource has one.
//   - A webhook is asked about callers with an identity alone.
//
// Comparisons are PostgreSQL's own, made where the row is: numbers, times, enums and collations are exact.
//
// A RowRule is the exception, for images of rows that changed: it decides in memory, for every caller at once, what a
// query would. It repeats PostgreSQL's rules for the types whose rules can be repeated, and refuses the others when it is
// made. Of a value that is not known it says nothing, and who does not know shows nothing.
package access
