// Package reaper cleans up after a simulator that ended in a way in which it could not do so itself: kill -9, a crash, the
// out-of-memory killer.
//
// The simulator starts one reaper, a process of its own session, and holds the only write end of a pipe to it. Over the pipe it
// says which processes and which directories are its own, and takes back what it has cleaned up. When the pipe ends, for
// whatever reason, the reaper kills the processes that are left, removes the directories that are left, and exits.
//
// It is for the children of one simulator on this machine. It is not a supervisor: it restarts nothing and watches nothing. The
// fleet and the worker coordinator are its callers; the hidden command "simulator reaper" is its main.
package reaper
