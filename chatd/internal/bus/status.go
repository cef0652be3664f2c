package bus

// Leads are the partitions whose streams this store leads, ascending. Its owner of one may still be taking over.
func (s *Store) Leads() (partitions []int) {
	if !s.made.Load() {
		return nil
	}
	for p := range s.cfg.Partitions {
		if s.alone() || s.srv.JetStreamIsStreamLeader(account, s.subjects.logStream(p)) {
			partitions = append(partitions, p)
		}
	}
	return partitions
}

// FullStore names a store of the region whose volume is too full for posts, empty if none is.
func (s *Store) FullStore() string { return s.room.Full() }

// Volume says how much of this store's volume is in use, and from where on what makes logs grow is refused: shares of its size, from 0 to 1.
// used is 0 where the system does not tell.
func (s *Store) Volume() (used, fullAt float64) { return s.room.own.share(), s.cfg.FullAt }

// LeadsMetadata reports whether this store leads the stores' metadata group, which places streams.
func (s *Store) LeadsMetadata() bool { return s.alone() || s.srv.JetStreamIsLeader() }
