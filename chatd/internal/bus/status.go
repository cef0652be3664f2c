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

// LeadsMetadata reports whether this store leads the stores' metadata group, which places streams.
func (s *Store) LeadsMetadata() bool { return s.alone() || s.srv.JetStreamIsLeader() }
