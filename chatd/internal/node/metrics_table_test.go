package node

// documented is what the code does not say of a metric: which role has it, its unit, and when an operator should worry.
type documented struct{ role, unit, worry string }

const metricsIntro = `# Metrics

What a member exports at ` + "`/metrics`" + ` of its admin port, for Prometheus. This page is made from the running code by
` + "`go test ./chatd/internal/node -run TestMetricsAreDocumented -update`" + `; the same test fails when a metric is missing here or is no more.

A combined member has the first two tables. Besides these there are the Go runtime's ` + "`go_*`" + `, the process's ` + "`process_*`" + ` (memory, open files, CPU)
and ` + "`promhttp_*`" + `. Counters end in ` + "`_total`" + ` and are for ` + "`rate()`" + `. No label holds a user, a log or an address.
`

// metricsTable has a row for every metric of chatd. Type, labels and meaning are the code's own.
var metricsTable = map[string]documented{
	"chatd_sessions":                            {"shard", "sessions", "it nears the bound on connections, or falls without a drain"},
	"chatd_session_ends_total":                  {"shard", "sessions", "`lost`, `stuck` or `violation` rise against what is usual: the network, slow clients, or a broken client"},
	"chatd_sessions_stuck":                      {"shard", "sessions", "it is more than a few in a thousand: clients or the network before them are slow; each costs a goroutine and the rest of a frame"},
	"chatd_sessions_ready":                      {"shard", "sessions", "it does not come back to 0 between posts: the writers do not keep up, so CPU is short"},
	"chatd_attached_logs":                       {"shard", "logs", "it nears 100,000, the most that a shard opens"},
	"chatd_followed_logs":                       {"shard", "logs", "it differs from `chatd_attached_logs` for long"},
	"chatd_deliveries_total":                    {"shard", "events", "its rate falls behind posts times readers"},
	"chatd_written_bytes_total":                 {"shard", "bytes", "its rate nears what the network interface can"},
	"chatd_too_long_total":                      {"shard", "times", "it rises at all in quiet times: readers fall behind 1,024 events or 1 MiB of a log, or a shard could not fetch what it had missed"},
	"chatd_recent_rings_bytes":                  {"shard", "bytes", "it stays at `ring.totalBytes` and many readers that come back are told too long: give it more"},
	"chatd_posts_total":                         {"shard", "posts", "`unavailable` rises: owners do not answer in time; `internal` is a defect"},
	"chatd_requests_total":                      {"shard", "requests", "`sign_in` rises steeply: sessions come back all at once"},
	"chatd_fetches_total":                       {"shard", "fetches", "`gap`, `digest` or `reconnect` rise for long: live events are lost on the way from the stores"},
	"chatd_live_queue_length":                   {"shard", "messages", "it stays above some thousands: the shard does not keep up with what the stores push"},
	"chatd_owner_asks_waiting":                  {"shard", "requests", "it stays above what a second of posts is: owners are slow, or there is none"},
	"chatd_link_up":                             {"shard", "0 or 1", "0 for more than a second"},
	"chatd_draining":                            {"shard", "0 or 1", "1, and nobody asked for it"},
	"chatd_token_keys_read_timestamp_seconds":   {"shard", "seconds", "`time()` less it is above 15 minutes: the issuer's keys cannot be had; after a day of that its tokens are refused"},
	"chatd_revocations":                         {"shard", "revocations", "it differs from shard to shard for long"},
	"chatd_revocations_known_timestamp_seconds": {"shard", "seconds", "`time()` less it is above 5 s: the shard does not hear what is revoked"},
	"chatd_sign_ins_refused_total":              {"shard", "sign-ins", "by reason: `expired`, `not_yet`: clients do not renew, or a clock is wrong; `unknown_key`, `issuer`, `audience`, `algorithm`: an issuer has changed, or this member's settings; `keys_away`: an issuer's keys cannot be had; `signature`, `malformed`, `missing`: somebody tries tokens, or a client is broken; `revoked`: a device goes on trying"},
	"chatd_sent_away_total":                     {"shard", "sessions", ""},

	"chatd_partitions_led":               {"store", "partitions", "the sum over all stores is not the number of partitions for more than a second"},
	"chatd_meta_leader":                  {"store", "0 or 1", "the sum over all stores is not 1 for more than some seconds"},
	"chatd_store_ready":                  {"store", "0 or 1", "0 for more than some seconds while the store is not being started; its log and `chatd status` say why"},
	"chatd_stream_bytes":                 {"store", "bytes", "`log` grows faster than planned for the volume; stores that differ in it for long do not replicate"},
	"chatd_stream_messages":              {"store", "messages", ""},
	"chatd_streams":                      {"store", "streams", "`log` below the number of partitions, `state` below a quarter of it, on a store that should have a copy of each"},
	"chatd_volume_size_bytes":            {"store", "bytes", ""},
	"chatd_volume_full":                  {"store", "0 or 1", "1: posts are refused in the whole region until this volume has room"},
	"chatd_posts_refused_full":           {"store", "0 or 1", "1: some store's `chatd_volume_full` is 1"},
	"chatd_volume_free_bytes":            {"store", "bytes", "below a quarter of the size: at 85 % (`fullAt`) posts are refused, and a volume that something else fills up stops the store"},
	"chatd_store_reads_in_flight":        {"store", "reads", "16 for long: reads of history wait for each other"},
	"chatd_owner_requests_total":         {"store", "requests", "`CODE_INTERNAL` is a defect; `repeated` rises: shards ask again because answers are late"},
	"chatd_owner_requests_dropped_total": {"store", "requests", "it rises: an owner has more to do than it can; shards ask again"},
	"chatd_owner_queue_length":           {"store", "requests", "above some hundreds for long: an owner does not keep up"},
	"chatd_owner_take_over_seconds":      {"store", "seconds", "its 99th percentile is above 0.2 s: posts wait so long after each change of leaders"},
	"chatd_owner_terms_ended_total":      {"store", "terms", "it rises while no store is restarted: a volume is slow or a store hangs"},
	"chatd_owner_void_events_total":      {"store", "messages", "it rises often: stores hang and go on; nothing is lost by it"},
	"chatd_owner_events_total":           {"store", "events", "its rate falls while posts wait"},
	"chatd_owner_loads_total":            {"store", "states", "its rate nears that of posts: more logs are in use than the 65,536 that fit for each partition"},
	"chatd_owner_reads_total":            {"store", "events", "its rate is high for long: devices come back from far behind"},
	"chatd_owner_checkpoints_total":      {"store", "checkpoints", "it stands still while events are appended: the next take-over gets longer"},
	"chatd_owner_relays_total":           {"store", "requests", "`unanswered` rises for long: another partition has no owner"},
	"chatd_owner_purged_events_total":    {"store", "events", "it stands still while retention is set and `chatd_stream_bytes` grows: the log says why"},
	"chatd_owner_purges_failed_total":    {"store", "purges", "it rises for long: nothing goes, and the volume fills up"},
	"chatd_owner_oldest_event_seconds":   {"store", "seconds", "it is well above `retainAge`; or, with `retainBytesPerPartition` alone, below what people expect to find"},
	"chatd_owner_untold":                 {"store", "channels and bans", "it nears 16,384: joins, leaves and bans wait from there on"},
	"chatd_owner_untold_seconds":         {"store", "seconds", "above 60: another partition has no owner, or makes no checkpoints; counts of members are behind"},
	"chatd_owner_snapshots_total":        {"store", "snapshots", ""},
	"chatd_certificate_expiry_seconds":   {"certificates", "seconds", "less `time()` it is below a week, or a third of what certificates are good for: nobody renews them"},
	"chatd_certificate_files_broken":     {"certificates", "0 or 1", "1 for more than a minute: the log says what is wrong with the files"},
	"chatd_certificates_refused_total":   {"certificates", "connections", "it rises for long: a member shows a wrong certificate, or a stranger tries; the log says who and why"},
}
