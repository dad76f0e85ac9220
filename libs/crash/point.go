//go:build !faults

// Package crash is where the fault tests kill a program: at a named point between two of its steps. In a program built for use
// a point is nothing, and costs nothing.
package crash

// Point is a place where a test may kill the program: programs built with the tag "faults" die there as of kill -9, when
// SIGNRELAY_TEST_CRASH names it.
func Point(string) {}
