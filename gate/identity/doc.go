// Package identity turns the credentials of a request into a gate.Identity: API keys, JWTs, better-auth sessions and
// the tickets that this server issues.
//
// Invariants:
//
//   - An explicit credential (API key, Authorization, ticket) that does not verify is refused, and nothing else is
//     tried in its place. Two kinds of them are refused whatever they are. Only without any does the session cookie
//     count, and one that does not verify makes an anonymous caller.
//   - A backend that cannot be asked is 503: never a 401, which a client takes for a logout, and never a pass. While it
//     is away it is asked by one request at a time, at most a second apart, however many wait.
//   - Secrets are compared as fixed-length digests in constant time, and a signature is checked before any query. No
//     secret is in an Identity, a log line or an error. A test looks through the source of the gate and of the command
//     for comparisons that are not so.
//   - The application's tables are read, never written, and by one query for each identity. Recheck takes one query for
//     all sessions and one for all keys.
//   - A JWT is verified by the algorithms that the configuration names and by the key that belongs to the algorithm:
//     HS256 by the secret alone, the others by the issuer's public keys alone. A ticket is signed with a key of its own
//     and says what it is, so that neither passes for the other.
//
// The tables are those of better-auth, and their names are configurable. The default ones are optional: a method whose
// table is not there is off. Start looks, and Check does the same for the command that checks a configuration.
package identity
