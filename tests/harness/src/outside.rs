//! The world outside a cluster, as its nodes see it: a name server and a web server of the test's own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

const DNS_PORT: u16 = 53;
const HTTP_PORT: u16 = 80;
/// The longest message of the name system without extensions.
const MESSAGE_BYTES_MAX: usize = 512;
/// How often a server looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long one client may take.
const CLIENT_MAX: Duration = Duration::from_secs(10);

/// Two servers on one address, until dropped. The web server answers:
///
/// | path | answer |
/// |---|---|
/// | `/to/REST` | 302 to `http://REST` |
/// | anything else | 200 and `hello from HOST` |
pub struct Outside {
    at: Ipv4Addr,
    over: Arc<AtomicBool>,
    servers: Vec<JoinHandle<()>>,
}

impl Outside {
    /// Serves at this address, with these names.
    ///
    /// # Errors
    /// If a port is taken, or may not be used.
    pub fn start(at: Ipv4Addr, names: &[(&str, Ipv4Addr)]) -> Result<Outside> {
        let names: BTreeMap<String, Ipv4Addr> =
            names.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let dns = UdpSocket::bind((at, DNS_PORT)).context("the name server")?;
        dns.set_read_timeout(Some(LOOK_EVERY))?;
        let web = TcpListener::bind((at, HTTP_PORT)).context("the web server")?;
        let over = Arc::new(AtomicBool::new(false));
        let (dns_over, web_over) = (Arc::clone(&over), Arc::clone(&over));
        let servers = vec![
            std::thread::spawn(move || serve_names(&dns, &names, &dns_over)),
            std::thread::spawn(move || serve_web(&web, &web_over)),
        ];
        Ok(Outside { at, over, servers })
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes the one that waits for a connection.
        let _ = TcpStream::connect((self.at, HTTP_PORT));
        for server in self.servers.drain(..) {
            let _ = server.join();
        }
    }
}

fn serve_names(socket: &UdpSocket, names: &BTreeMap<String, Ipv4Addr>, over: &AtomicBool) {
    let mut message = [0; MESSAGE_BYTES_MAX];
    while !over.load(Ordering::Acquire) {
        let Ok((bytes, client)) = socket.recv_from(&mut message) else { continue };
        if let Some(answer) = answer(&message[..bytes], names) {
            let _ = socket.send_to(&answer, client);
        }
    }
}

/// The answer to a message with one question (RFC 1035, section 4): the address of a name that is known, nothing for another
/// type, and that there is no such name otherwise.
fn answer(message: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Option<Vec<u8>> {
    const HEADER_BYTES: usize = 12;
    const TYPE_A: [u8; 2] = [0, 1];
    let mut labels = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let question = message.get(HEADER_BYTES..at + 4)?;
    let known = names.get(&labels.join("."));
    let found = known.filter(|_| message[at..at + 2] == TYPE_A);
    let no_such_name = if known.is_none() { 3 } else { 0 };
    let mut reply = message[..2].to_vec();
    // An answer, by the authority; recursion was wanted, and is there.
    reply.extend([0x85, 0x80 | no_such_name, 0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    reply.extend(question);
    if let Some(address) = found {
        // The name of the question; type A, class IN, kept for no time, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

fn serve_web(listener: &TcpListener, over: &AtomicBool) {
    while let Ok((stream, _)) = listener.accept() {
        if over.load(Ordering::Acquire) {
            return;
        }
        // A client that goes away has what it wants.
        let _ = respond(stream);
    }
}

fn respond(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(CLIENT_MAX))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().context("no request")??;
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut host = String::new();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("host")
        {
            value.trim().clone_into(&mut host);
        }
    }
    let (head, body) = match path.strip_prefix("/to/") {
        Some(rest) => (format!("302 Found\r\nlocation: http://{rest}"), String::new()),
        None => ("200 OK".to_owned(), format!("hello from {host}")),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u8) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.as_bytes());
        }
        message.extend([0, 0, kind, 0, 1]);
        message
    }

    #[test]
    fn a_known_name_has_its_address_and_another_does_not_exist() {
        let names = BTreeMap::from([("a.test".to_owned(), Ipv4Addr::new(10, 0, 0, 7))]);
        let found = answer(&question("A.test", 1), &names).unwrap();
        assert_eq!((&found[..4], found[7]), (&[0xab, 0xcd, 0x85, 0x80][..], 1));
        assert_eq!(found[found.len() - 4..], [10, 0, 0, 7]);
        let other_type = answer(&question("a.test", 28), &names).unwrap();
        assert_eq!((other_type[3], other_type[7]), (0x80, 0));
        assert_eq!(answer(&question("b.test", 1), &names).unwrap()[3], 0x83);
        assert_eq!(answer(&[0; 12], &names), None);
        assert_eq!(answer(&[0xff; 20], &names), None);
    }
}
