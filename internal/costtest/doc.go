// Package costtest has what tests of time and memory share. What it measures is the processor time of the process, which
// says more than a clock on a busy machine, and only proportions are ever asserted.
package costtest
