// The fast child process of `VerifierProcess`: reads batches of signatures from standard input, answers on standard output.
//
// It speaks as `verifier_main.py` does, and says yes to the same signatures: those that libsodium takes. A batch is a count
// (4 bytes, big-endian), then for each signature the key (32 bytes), the signature (64 bytes), and what was signed behind
// its length (4 bytes). The answer is a byte for each: 1 good, 0 not.
//
// It is compiled with the engine, from the library with which the engine checks votes.
package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"runtime"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519/extra/cache"
)

const (
	keyBytes       = ed25519.PublicKeySize
	signatureBytes = ed25519.SignatureSize
	headBytes      = keyBytes + signatureBytes + 4
	readBytes      = 1 << 20
	// Keys that are kept unpacked: most transactions come from few authors.
	keptKeys = 1024
)

// RFC 8032 section 5.1.7 without the cofactor, and as strict as libsodium: keys and R of small order or in another than
// their canonical encoding are refused, and so is an S of the group order or more.
var strict = &ed25519.Options{Verify: &ed25519.VerifyOptions{CofactorlessVerify: true}}

func main() {
	// One thing at a time is asked; further threads would only look for something to do.
	runtime.GOMAXPROCS(1)
	if serve(bufio.NewReaderSize(os.Stdin, readBytes), os.Stdout) != nil {
		os.Exit(1)
	}
}

// serve answers batches until the other side closes.
func serve(questions *bufio.Reader, answers io.Writer) error {
	verifier := cache.NewVerifier(cache.NewLRUCache(keptKeys))
	head := make([]byte, headBytes)
	var signed, verdicts []byte
	for {
		if _, err := io.ReadFull(questions, head[:4]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		verdicts = verdicts[:0]
		for left := binary.BigEndian.Uint32(head); left > 0; left-- {
			if _, err := io.ReadFull(questions, head); err != nil {
				return err
			}
			size := int(binary.BigEndian.Uint32(head[keyBytes+signatureBytes:]))
			if cap(signed) < size {
				signed = make([]byte, size)
			}
			signed = signed[:size]
			if _, err := io.ReadFull(questions, signed); err != nil {
				return err
			}
			key, signature := head[:keyBytes], head[keyBytes:keyBytes+signatureBytes]
			verdict := byte(0)
			if verifier.VerifyWithOptions(key, signed, signature, strict) {
				verdict = 1
			}
			verdicts = append(verdicts, verdict)
		}
		if _, err := answers.Write(verdicts); err != nil {
			return err
		}
	}
}
