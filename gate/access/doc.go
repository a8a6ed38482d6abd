// Package access decides which rooms a caller may open, from declared resources and rules.
package access
