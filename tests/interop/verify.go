// What Go's crypto/x509 thinks of certificate chains.
//
// In:  a line a chain: label, folder (root.pem, chain.pem), purpose (server, client, email), name or nothing; tabs between.
// Out: a line a chain: label, "accepted" or "refused", why.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

var purposes = map[string]x509.ExtKeyUsage{
	"server": x509.ExtKeyUsageServerAuth,
	"client": x509.ExtKeyUsageClientAuth,
	"email":  x509.ExtKeyUsageEmailProtection,
}

func read(path string) ([]*x509.Certificate, error) {
	var found []*x509.Certificate

	rest, err := os.ReadFile(path)
	for err == nil {
		var block *pem.Block
		var certificate *x509.Certificate

		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		certificate, err = x509.ParseCertificate(block.Bytes)
		found = append(found, certificate)
	}
	return found, err
}

func verify(folder, purpose, name string) error {
	options := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{purposes[purpose]},
	}
	roots, err := read(filepath.Join(folder, "root.pem"))
	if err != nil {
		return err
	}
	chain, err := read(filepath.Join(folder, "chain.pem"))
	if err != nil {
		return err
	}
	options.Roots.AddCert(roots[0])
	for _, certificate := range chain[1:] {
		options.Intermediates.AddCert(certificate)
	}
	if !strings.Contains(name, "@") {
		options.DNSName = name
		if net.ParseIP(name) != nil {
			options.DNSName = "[" + name + "]"
		}
	}
	_, err = chain[0].Verify(options)
	return err
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Split(in.Text(), "\t")
		if err := verify(words[1], words[2], words[3]); err != nil {
			fmt.Printf("%s\trefused\t%s\n", words[0], strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Printf("%s\taccepted\t\n", words[0])
		}
	}
}
