// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestStreamIsCutIntoFrames(t *testing.T) {
	var line bytes.Buffer
	want := strings.Repeat("x", MaxPayload) + "rest"
	if _, err := io.WriteString(NewWriter(&line).Stream(Stdout), want); err != nil {
		t.Fatal(err)
	}
	var got []byte
	frames := 0
	for {
		f, err := Read(&line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || f.Kind != Stdout {
			t.Fatalf("frame %d: kind %d, %v", frames, f.Kind, err)
		}
		got = append(got, f.Payload...)
		frames++
	}
	if string(got) != want || frames != 2 {
		t.Errorf("%d bytes in %d frames, want %d in 2", len(got), frames, len(want))
	}
}

func TestReadRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"long":      "\x05\xff\xff\xff\xff",
		"cut short": "\x05\x00\x00\x00\x04ab",
	} {
		if f, err := Read(strings.NewReader(line)); err == nil {
			t.Errorf("%s: accepted as %+v", name, f)
		}
	}
}

func TestJSONPayload(t *testing.T) {
	var line bytes.Buffer
	if err := NewWriter(&line).SendJSON(Exit, Result{Code: 137}); err != nil {
		t.Fatal(err)
	}
	f, err := Read(&line)
	if err != nil {
		t.Fatal(err)
	}
	var got Result
	if err := f.Decode(&got); err != nil || got.Code != 137 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := (Frame{Kind: Exit, Payload: []byte("{")}).Decode(&got); err == nil {
		t.Error("half an object was accepted")
	}
}
