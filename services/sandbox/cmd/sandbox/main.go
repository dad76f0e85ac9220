// Command sandbox stands in for the outside world.
package main
