package shard

// Numbers is how many feeds have had numbers at the same time, at most.
func (sh *Shard) Numbers() int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return len(*sh.table.feeds.Load())
}
