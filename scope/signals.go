// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"sync"
	"sync/atomic"

	"github.com/godbus/dbus/v5"
)

// signals receives the manager's signals in the order they were read, on the
// reader's own goroutine. A job's end may be read together with the reply that names the job: so ends
// are kept by path from the moment a unit is watched, and looked up afterwards.
type signals struct {
	mu          sync.Mutex
	watched     map[string]int                    // unit: number of watchers
	ended       map[dbus.ObjectPath]string        // job: result
	jobs        map[dbus.ObjectPath]chan<- string // job: who waits
	removed     waiters[string]                   // unit: who waits for its end
	changed     waiters[dbus.ObjectPath]          // unit: who waits for another property
	wantChanged atomic.Bool                       // somebody has waited for such
	sender      string                            // on a bus: whose signals count
	gone        func()                            // on a bus: what to do when the manager has left it
	isLost      bool
}

func newSignals() *signals {
	return &signals{
		watched: map[string]int{}, ended: map[dbus.ObjectPath]string{},
		jobs: map[dbus.ObjectPath]chan<- string{}, removed: waiters[string]{},
		changed: waiters[dbus.ObjectPath]{},
	}
}

// DeliverSignal makes signals the handler of a godbus connection.
func (s *signals) DeliverSignal(iface, member string, sig *dbus.Signal) {
	ofUnit := iface == propertyIface && member == "PropertiesChanged"
	if !ofUnit && iface != busName && (iface != managerIface || sig.Path != managerPath) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if iface == busName && member == "NameOwnerChanged" {
		if sig.Sender == busName && len(sig.Body) == 3 && sig.Body[0] == destination && s.gone != nil {
			go s.gone() // not here: it waits for whoever delivers signals
		}
		return
	}
	if s.sender != anyone && sig.Sender != s.sender {
		return
	}
	if ofUnit {
		s.changed.tell(sig.Path, nil)
		return
	}
	switch member {
	case "JobRemoved":
		var id uint32
		var job dbus.ObjectPath
		var unit, result string
		if dbus.Store(sig.Body, &id, &job, &unit, &result) == nil && s.watched[unit] > 0 {
			s.jobRemoved(job, result)
		}
	case "UnitRemoved":
		var unit string
		var path dbus.ObjectPath
		if dbus.Store(sig.Body, &unit, &path) == nil {
			s.removed.tell(unit, nil)
		}
	}
}

// anyone is the sender on a private connection: there is one peer, which some versions of
// systemd name in the message and others not.
const anyone = "*"

// from names the only sender that counts.
func (s *signals) from(sender string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sender = sender
}

// onGone says what to do when the manager leaves the bus.
func (s *signals) onGone(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = do
}

func (s *signals) jobRemoved(job dbus.ObjectPath, result string) {
	if ch, ok := s.jobs[job]; ok {
		delete(s.jobs, job)
		ch <- result // has room for one
		return
	}
	s.ended[job] = result
}

// watch keeps the ends of the unit's jobs from now on.
func (s *signals) watch(unit string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched[unit]++
}

func (s *signals) unwatch(unit string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched[unit]--; s.watched[unit] <= 0 {
		delete(s.watched, unit)
	}
	if len(s.watched) == 0 {
		clear(s.ended)
	}
}

// job returns a channel that gets the job's result, which may be there already. It is
// closed when the connection is lost.
func (s *signals) job(job dbus.ObjectPath) <-chan string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := make(chan string, 1)
	switch result, ok := s.ended[job]; {
	case ok:
		delete(s.ended, job)
		ch <- result
	case s.isLost:
		close(ch)
	default:
		s.jobs[job] = ch
	}
	return ch
}

// forgetJob ends a wait for a job.
func (s *signals) forgetJob(job dbus.ObjectPath) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, job)
}

// onRemoved returns a channel that gets nil when the unit is unloaded, or ErrLost.
func (s *signals) onRemoved(unit string) chan error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := make(chan error, 1)
	if s.isLost {
		ch <- ErrLost
		return ch
	}
	s.removed.add(unit, ch)
	return ch
}

// onChanged returns a channel that gets nil when a property of the unit at path changes, or ErrLost.
func (s *signals) onChanged(path dbus.ObjectPath) chan error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := make(chan error, 1)
	if s.isLost {
		ch <- ErrLost
		return ch
	}
	s.changed.add(path, ch)
	s.wantChanged.Store(true)
	return ch
}

// forgetChanged ends such a wait.
func (s *signals) forgetChanged(path dbus.ObjectPath, ch chan error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.remove(path, ch)
}

// forget ends a wait that nobody is interested in any more.
func (s *signals) forget(unit string, ch chan error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed.remove(unit, ch)
}

// lost ends every wait.
func (s *signals) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isLost = true
	for job, ch := range s.jobs {
		delete(s.jobs, job)
		close(ch)
	}
	for unit := range s.removed {
		s.removed.tell(unit, ErrLost)
	}
	for path := range s.changed {
		s.changed.tell(path, ErrLost)
	}
}

// waiters are those who wait for something, once; each channel has room for one word.
type waiters[K comparable] map[K]map[chan<- error]struct{}

func (w waiters[K]) add(key K, ch chan<- error) {
	if w[key] == nil {
		w[key] = map[chan<- error]struct{}{}
	}
	w[key][ch] = struct{}{}
}

func (w waiters[K]) remove(key K, ch chan<- error) {
	if delete(w[key], ch); len(w[key]) == 0 {
		delete(w, key)
	}
}

func (w waiters[K]) tell(key K, err error) {
	for ch := range w[key] {
		ch <- err
	}
	delete(w, key)
}
