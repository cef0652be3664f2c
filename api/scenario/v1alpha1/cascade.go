package v1alpha1

// Cascade is a falsehood and its correction that spread as posts from channel to channel: the posts that the model's fleet has to deliver follow from
// what people are assumed to do, and none of that is measured. The people are the subscribers of the population, a session each, and the online share
// is the part of them that sees a post. It begins with the measure phase and ends with it. It is played once for each delay and each of two ways to
// post the correction: by a hub in all channels of the coalition at once, and in the fact-checker's own channel, from where forwards carry it on.
type Cascade struct {
	// How many communities the people are divided among. A channel's subscribers are of one of them.
	Communities int `json:"communities" jsonschema:"required,minimum=1,maximum=100000"`
	// The channels of the fact-checking coalition, where its hub can post and the falsehood never is.
	Coalition ChannelKind `json:"coalition" jsonschema:"required"`
	// The channels where the falsehood spreads.
	Outside ChannelKind `json:"outside" jsonschema:"required"`
	// The exponent of the Pareto law of the channels' sizes.
	SizeExponent float64 `json:"sizeExponent" jsonschema:"required,exclusiveMinimum=0,maximum=10"`
	// How many times the smallest channel the largest can be.
	SizeRatio float64 `json:"sizeRatio" jsonschema:"required,minimum=1,maximum=1000000"`
	// The share of the people, 0 to 1, who are always online or never. Of the others, chance says it for each post anew.
	OnlineByHabit float64 `json:"onlineByHabit" jsonschema:"required,minimum=0,maximum=1"`
	// The probability that one view of the correction is forwarded, to one channel.
	ForwardShare float64 `json:"forwardShare" jsonschema:"required,minimum=0,maximum=1"`
	// How many times as often the falsehood is.
	FalseFactor float64 `json:"falseFactor" jsonschema:"required,minimum=0,maximum=1000"`
	// How many times as often as others who saw the correction first forwards the falsehood, 0 to 1.
	ForewarnedFactor float64 `json:"forewarnedFactor" jsonschema:"required,minimum=0,maximum=1"`
	// The share of forwards, 0 to 1, to a channel of the community where the post was seen.
	InsideShare float64 `json:"insideShare" jsonschema:"required,minimum=0,maximum=1"`
	// From a view to its forward.
	Reaction Reaction `json:"reaction" jsonschema:"required"`
	// From the first post of the falsehood to that of the correction, ascending.
	Delays []Duration `json:"delays" jsonschema:"required,minItems=1,maxItems=8"`
	// How many seeds the intervals are over, from the scenario's on. Each makes other people, channels and forwards. Default 20.
	Seeds int `json:"seeds,omitempty" jsonschema:"minimum=2,maximum=1000"`
	// The size of a post's content, at least 32 bytes. Default 200B.
	MessageBytes Size `json:"messageBytes,omitempty"`
	// A delivery later than this after the intended moment of the post counts as late. Default 1s.
	DeliverWithin Duration `json:"deliverWithin,omitempty"`
}

// ChannelKind is some channels of a cascade.
type ChannelKind struct {
	// How many there are.
	Channels int `json:"channels" jsonschema:"required,minimum=1,maximum=100000"`
	// The sum of their subscribers: one who subscribes to three is counted three times.
	Subscriptions int `json:"subscriptions" jsonschema:"required,minimum=1,maximum=100000000"`
}

// Reaction is a log-normal time.
type Reaction struct {
	// What half of the times are below.
	Median Duration `json:"median" jsonschema:"required"`
	// The standard deviation of their logarithm.
	Sigma float64 `json:"sigma" jsonschema:"required,minimum=0,maximum=10"`
}
