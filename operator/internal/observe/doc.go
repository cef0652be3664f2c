// Package observe turns what the API server and the members themselves say of a fleet into the planner's snapshot. It is pure: package controller
// reads, this package understands. Whatever cannot be understood counts as not there, and is said so by the planner's waits.
package observe
