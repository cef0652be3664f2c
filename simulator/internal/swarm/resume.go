package swarm

import (
	"math"
	"time"
	"unsafe"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// resumes holds the sessions' resume tokens, by which they sign in again after they have lost their connection. All have a place of the
// same size in one array, that of the longest token so far: so there is nothing for the collector to follow, and a token that is
// renewed takes the place of the one before.
type resumes struct {
	tokens []byte
	place  int
	of     []resume
}

// resume is what is known of a session's resume token. Moments are in signInUnit since the loop began.
type resume struct {
	until  uint32 // it is of no use from then on
	renew  uint32 // when a new one is asked for
	length uint16 // 0: there is none
}

// maxResumeBytes is the longest resume token that is kept. A server's may be of any length; one of more costs a session its resuming.
const maxResumeBytes = 2048

func newResumes(n int) resumes { return resumes{of: make([]resume, n)} }

// keep takes a token in place of the one before.
func (r *resumes) keep(i int32, token string, renew, until uint32) {
	if token == "" || len(token) > maxResumeBytes {
		r.forget(i)
		return
	}
	if len(token) > r.place {
		r.widen(len(token))
	}
	copy(r.tokens[int(i)*r.place:], token)
	r.of[i] = resume{until, renew, uint16(len(token))}
}

// widen moves all tokens to places of that size.
func (r *resumes) widen(place int) {
	wider := make([]byte, len(r.of)*place)
	for i := range r.of {
		copy(wider[i*place:], r.tokens[i*r.place:(i+1)*r.place])
	}
	r.tokens, r.place = wider, place
}

func (r *resumes) forget(i int32) { r.of[i] = resume{} }

// token returns what the session can sign in with at that moment, "" if there is nothing.
func (r *resumes) token(i int32, at uint32) string {
	one := r.of[i]
	if one.length == 0 || at >= one.until {
		return ""
	}
	from := int(i) * r.place
	return string(r.tokens[from : from+int(one.length)])
}

// bytes is the memory of all of it.
func (r *resumes) bytes() int { return len(r.tokens) + len(r.of)*int(unsafe.Sizeof(resume{})) }

// keepResume takes the resume token of a sign-in or a renewal. A new one is asked for after about half of its life, each session
// a little sooner or later, so that those who came together do not ask together.
func (l *loop) keepResume(i int32, r *chatv1.ResumeToken, now int64) {
	// In the server's time, as far as the last sign-in's answer told it.
	life := time.Duration(r.GetExpiresMs())*time.Millisecond - time.Duration(now+l.serverAhead)
	if life <= 0 {
		l.resumes.forget(i)
		return
	}
	moment := func(after time.Duration) uint32 {
		return uint32(min((now-l.startNs+int64(after))/int64(signInUnit), math.MaxUint32))
	}
	half := life * time.Duration(40+l.random.IntN(20)) / 100
	l.resumes.keep(i, r.GetToken(), moment(half), moment(life))
}

// renewDue asks for a new resume token when the time has come. It is looked at with each ping.
func (l *loop) renewDue(i int32, now int64) {
	one := &l.resumes.of[i]
	if one.length == 0 || l.sinceStart(now) < one.renew || l.dozes(&l.sessions[i]) {
		return
	}
	one.renew = one.until // one question at a time
	l.counters.Renewals++
	if _, err := l.request(i, &l.renew); err != nil {
		l.errors.add(err.Error(), 1)
	}
}

// refusedResume lets the session use its token the next time, when its resume token was refused.
func (l *loop) refusedResume(i int32, code chatv1.Error_Code) {
	if !l.sessions[i].is(flagResuming) || passes(code) {
		return
	}
	l.resumes.forget(i)
	l.counters.ResumesRefused++
}
