package object

// Escape is what parties and versions become in a name.
var Escape = escape
