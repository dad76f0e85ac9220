//go:build !faults

// Package crash lets the fault tests kill a program at a named point between two of its steps. Without the build tag "faults", Point
// does nothing and costs nothing.
package crash

// Point is a place where a test can kill the program. A program built with the tag "faults" dies there as from kill -9, if
// SIGNRELAY_TEST_CRASH names the point.
func Point(string) {}
