// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A pipelined connection spends no round trip on authentication. It answers
// godbus's side of the conversation from memory and writes its own together with the first message:
//
//	godbus                 memory             wire
//	\0 AUTH            ->
//	                   <-  REJECTED EXTERNAL
//	AUTH EXTERNAL uid  ->
//	                   <-  OK
//	BEGIN              ->
//	first message      ->                 ->  \0 AUTH EXTERNAL uid BEGIN message
//	                                      <-  OK guid, then messages
type pipelined struct {
	net.Conn
	in       *bufio.Reader
	messages sieve

	mu      sync.Mutex
	greeted bool         // godbus has said BEGIN
	begun   bool         // our own conversation is on the wire
	answers bytes.Buffer // what godbus has not read yet

	agreed bool          // the server's OK has been read; only the reader uses it
	heard  chan struct{} // closed when the server has answered, or will not any more
}

func newPipelined(c net.Conn) *pipelined {
	in := bufio.NewReader(c)
	return &pipelined{Conn: c, in: in, messages: sieve{in: in}, heard: make(chan struct{})}
}

// pipelineMin is how big a first message must be to go together with the authentication. systemd
// reads 256 bytes for a start, and what of a message is among them stays unseen until
// more can be read: a small one would wait for ever.
const pipelineMin = 512

// Write takes godbus's part of the conversation, and then messages. One that the
// manager does not read in time ends the connection.
func (p *pipelined) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.Conn.SetWriteDeadline(time.Now().Add(callTimeout)); err != nil {
		return 0, err
	}
	if !p.greeted {
		return len(b), p.answer(strings.TrimSuffix(string(b), "\r\n"))
	}
	if p.begun {
		return p.Conn.Write(b)
	}
	p.begun = true
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	hello := []byte("\x00AUTH EXTERNAL " + uid + "\r\nBEGIN\r\n")
	if len(b) < pipelineMin {
		return p.writeAfter(hello, b)
	}
	if _, err := p.Conn.Write(append(hello, b...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// writeAfter waits for the answer to hello before it writes b. godbus writes one message
// at a time, so nothing overtakes it.
func (p *pipelined) writeAfter(hello, b []byte) (int, error) {
	if _, err := p.Conn.Write(hello); err != nil {
		return 0, err
	}
	p.mu.Unlock() // the reader needs it
	defer p.mu.Lock()
	select {
	case <-p.heard:
		return p.Conn.Write(b)
	case <-time.After(callTimeout):
		return 0, os.ErrDeadlineExceeded
	}
}

func (p *pipelined) answer(line string) error {
	switch {
	case line == "\x00":
	case line == "AUTH":
		p.answers.WriteString("REJECTED EXTERNAL\r\n")
	case strings.HasPrefix(line, "AUTH EXTERNAL"):
		p.answers.WriteString("OK 0\r\n")
	case line == "BEGIN":
		p.greeted = true
	default:
		return fmt.Errorf("authentication: unexpected line %q", line)
	}
	return nil
}

// Read gives the answers from memory, and after them what follows the server's OK.
func (p *pipelined) Read(b []byte) (int, error) {
	p.mu.Lock()
	n, _ := p.answers.Read(b) // a buffer's only error is that it is empty
	p.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	if !p.agreed {
		if err := p.agree(); err != nil {
			return 0, err
		}
	}
	return p.messages.Read(b)
}

func (p *pipelined) agree() error {
	defer close(p.heard)
	line, err := p.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("OK ")) {
		return fmt.Errorf("%w: authentication: %s", errAuth, bytes.TrimSpace(line))
	}
	p.agreed = true
	return nil
}

var errAuth = errors.New("refused")
