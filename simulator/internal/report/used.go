package report

// Used is how much of something is used, as a share of all that there is.
type Used struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`
}

// MostUsed is what is used up first when everything grows alike: the largest share, and of equal ones the first. The zero Used if there is none.
func MostUsed(used ...Used) Used {
	var most Used
	for i, u := range used {
		if i == 0 || u.Share > most.Share {
			most = u
		}
	}
	return most
}

// Machine is what was used of the machine that the generator ran on, and the fleet too where it is a local one, in the measure phase.
type Machine struct {
	// 0 to 1: of its processors' time and, at the end, of its memory, by everything that ran there; and of the files that a process may have open, by the one
	// of fleet and generator that has the largest share open.
	Processors float64 `json:"processors"`
	Memory     float64 `json:"memory"`
	OpenFiles  float64 `json:"openFiles"`
}
