// Package calibration is what the model knows of a real fleet: what each thing costs, how sure that is, where it was measured, in which range, and
// how well the model that was fitted to it predicted runs that it had not seen.
//
// A calibration is a file of its own (YAML, strict), so that somebody else's machine has another one. The one that is embedded ships with the
// project and lets everything that needs one work in a clean clone. The model reads it, `simulator calibrate` is to write it, and reports say all of
// it. This package fits nothing and plays nothing.
package calibration
