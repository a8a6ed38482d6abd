package costtest

// Proportion is proportion, which fails no test.
var Proportion = proportion
