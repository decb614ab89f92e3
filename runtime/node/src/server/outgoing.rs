//! Requests that guests send: to the hosts that a grant names, and never to this machine, its links, or the cluster.
//!
//! A name is looked up once, and the connection goes to an address of that answer that was checked: whoever answers for the
//! name cannot change it in between. A guest follows redirects itself, so each is a request of its own and is checked as such.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use futures::stream;
use http::uri::{PathAndQuery, Scheme};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use shardloom_host::{Outgoing, OutgoingBody, OutgoingError, Patience, Sent};
use shardloom_protocol::grant::{Grant, bare};
use shardloom_transport::outside::{OutsideError, Trust};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::fabric::Fabric;

/// How long a connection may take, names looked up and TLS included, where the guest says nothing.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Connections of all guests of a node at once: each takes a descriptor, of which the node's own files and clients need some.
const CONNECTIONS_MAX: usize = 256;
/// Look-ups of names at once: each takes a thread until the resolver answers, whoever waits for it.
const LOOK_UPS_MAX: usize = 16;
/// How long a response's head may take, where the guest says nothing.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(30);
/// How long each part of its body may take, where the guest says nothing.
const BETWEEN_BYTES_MAX: Duration = Duration::from_secs(30);

/// How much all guests of a node may send at once.
#[derive(Debug)]
pub struct OutgoingRoom {
    connections: Arc<Semaphore>,
    look_ups: Arc<Semaphore>,
}

impl Default for OutgoingRoom {
    fn default() -> OutgoingRoom {
        OutgoingRoom {
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            look_ups: Arc::new(Semaphore::new(LOOK_UPS_MAX)),
        }
    }
}

/// Where the guests of one workload may send requests.
pub struct GrantedHosts {
    grants: Vec<Grant>,
    fabric: Arc<dyn Fabric>,
    room: Arc<OutgoingRoom>,
}

impl GrantedHosts {
    /// What these grants allow; nobody where they allow nothing.
    pub fn of(
        grants: &[Grant],
        fabric: &Arc<dyn Fabric>,
        room: &Arc<OutgoingRoom>,
    ) -> Option<Arc<dyn Outgoing>> {
        if grants.is_empty() {
            return None;
        }
        let (grants, fabric, room) = (grants.to_vec(), Arc::clone(fabric), Arc::clone(room));
        Some(Arc::new(GrantedHosts { grants, fabric, room }))
    }

    fn target(&self, request: &http::Request<OutgoingBody>) -> Result<Target, OutgoingError> {
        let uri = request.uri();
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(OutgoingError::Address)?;
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        if !self.grants.iter().any(|grant| grant.allows_http(host, port)) {
            return Err(OutgoingError::NotGranted(format!("{host}:{port}")));
        }
        Ok(Target { host: host.to_owned(), port, tls })
    }

    /// Where the cluster's nodes answer, as they tell each other.
    fn cluster_hosts(&self) -> BTreeSet<String> {
        let view = self.fabric.view();
        let members = view.members.values();
        let places = members.flat_map(|member| [&member.http, &member.peer, &member.gossip]);
        places.filter_map(|place| place.rsplit_once(':')).map(|(host, _)| bare(host).to_owned()).collect()
    }
}

/// A checked wish.
struct Target {
    host: String,
    port: u16,
    tls: bool,
}

impl Outgoing for GrantedHosts {
    fn send(
        &self,
        request: http::Request<OutgoingBody>,
        patience: Patience,
    ) -> BoxFuture<'static, Result<Sent, OutgoingError>> {
        let target = self.target(&request);
        let cluster = self.cluster_hosts();
        let room = Arc::clone(&self.room);
        async move {
            let target = target?;
            let permit = Arc::clone(&room.connections).try_acquire_owned();
            let permit = permit.map_err(|_| OutgoingError::TooMany)?;
            let until = Instant::now() + patience.connect.unwrap_or(CONNECT_MAX);
            let connected = timeout_at(until, connect(&target, &cluster, &room.look_ups));
            let stream = connected.await.map_err(|_| OutgoingError::Timeout)??;
            if !target.tls {
                return exchange(stream, request, patience, permit).await;
            }
            let unsafe_end = |error: OutsideError| OutgoingError::Tls(error.to_string());
            let trust = Trust::of_system().map_err(unsafe_end)?;
            let secured = timeout_at(until, trust.secure(&target.host, stream)).await;
            let stream = secured.map_err(|_| OutgoingError::Timeout)?.map_err(unsafe_end)?;
            exchange(stream, request, patience, permit).await
        }
        .boxed()
    }
}

/// Connects to the first address of the host that answers and that guests may reach.
async fn connect(
    target: &Target,
    cluster: &BTreeSet<String>,
    look_ups: &Arc<Semaphore>,
) -> Result<TcpStream, OutgoingError> {
    let host = bare(&target.host);
    let found = look_up(host, target.port, look_ups).await?;
    let own = addresses(cluster, look_ups).await?;
    let mut last = OutgoingError::Forbidden(host.to_owned());
    for address in found {
        let ip = address.ip().to_canonical();
        if is_never_allowed(ip) || own.contains(&ip) || own.contains(&reached(ip)) {
            continue;
        }
        match TcpStream::connect(address).await {
            // From here to here: another address of this machine, which the cluster need not have told.
            Ok(stream) if stream.local_addr().is_ok_and(|local| local.ip() == address.ip()) => {
                last = OutgoingError::Forbidden(host.to_owned());
            }
            Ok(stream) => return Ok(stream),
            Err(error) => last = OutgoingError::Connect(format!("{address}: {error}")),
        }
    }
    Err(last)
}

/// The addresses of a name, at least one. A look-up that nobody waits for any more keeps its place until the resolver answers.
async fn look_up(host: &str, port: u16, look_ups: &Arc<Semaphore>) -> Result<Vec<SocketAddr>, OutgoingError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let failed = |error: &dyn std::fmt::Display| OutgoingError::Name(format!("{host}: {error}"));
    let permit = Arc::clone(look_ups).acquire_owned().await.map_err(|error| failed(&error))?;
    let name = host.to_owned();
    let looked_up = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
    });
    let found = looked_up.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    if found.is_empty() {
        return Err(failed(&"it has no address"));
    }
    Ok(found)
}

/// The addresses of the cluster's nodes; those that go by a name are looked up. Where one cannot be, nobody is let out: it might be the one.
async fn addresses(
    hosts: &BTreeSet<String>,
    look_ups: &Arc<Semaphore>,
) -> Result<BTreeSet<IpAddr>, OutgoingError> {
    let mut found = BTreeSet::new();
    for host in hosts {
        let looked_up = look_up(host, 0, look_ups).await?;
        found.extend(looked_up.into_iter().map(|address| address.ip().to_canonical()));
    }
    Ok(found)
}

/// The address that a connection comes to in the end, where a translator is on the way.
fn reached(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => translated(v6).map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// Whether an address is this machine's own, or means more than one machine, or is of a link alone.
fn is_never_allowed(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_never_allowed_v4(ip),
        IpAddr::V6(ip) => {
            let [first, ..] = ip.segments();
            let inner = translated(ip);
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || first & 0xffc0 == 0xfe80
                || inner.is_some_and(is_never_allowed_v4)
        }
    }
}

fn is_never_allowed_v4(ip: Ipv4Addr) -> bool {
    ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.octets()[0] == 0
}

/// The IPv4 address that a translator on the way would make of it: 64:ff9b::/96 of RFC 6052.
fn translated(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// Sends the request over a connection of its own, and gives back the response with what drives the rest.
async fn exchange<S>(
    stream: S,
    request: http::Request<OutgoingBody>,
    patience: Patience,
    permit: OwnedSemaphorePermit,
) -> Result<Sent, OutgoingError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let protocol = |error: hyper::Error| OutgoingError::Protocol(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(protocol)?;
    let connection = connection.map(drop).boxed();
    let answered = sender.send_request(origin_form(request)?);
    let answered = timeout(patience.first_byte.unwrap_or(FIRST_BYTE_MAX), answered).boxed();
    let (answer, driver) = match select(answered, connection).await {
        Either::Left((answer, connection)) => (answer, connection),
        Either::Right(((), answered)) => (answered.await, async {}.boxed()),
    };
    let response = answer.map_err(|_| OutgoingError::Timeout)?.map_err(protocol)?;
    let between = patience.between_bytes.unwrap_or(BETWEEN_BYTES_MAX);
    let driver = async move {
        let _permit = permit;
        driver.await;
    };
    Ok((response.map(|body| patient(body, between)), driver.boxed()))
}

/// The request as it is written to the host itself: with the path alone.
fn origin_form(
    mut request: http::Request<OutgoingBody>,
) -> Result<http::Request<OutgoingBody>, OutgoingError> {
    let path = request.uri().path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() =
        http::Uri::builder().path_and_query(path).build().map_err(|_| OutgoingError::Address)?;
    Ok(request)
}

/// A body each part of which must come in time.
fn patient(body: Incoming, between: Duration) -> UnsyncBoxBody<Bytes, OutgoingError> {
    let parts = stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        let part: Result<Frame<Bytes>, OutgoingError> = match timeout(between, body.frame()).await {
            Ok(None) => return None,
            Ok(Some(Ok(frame))) => return Some((Ok(frame), Some(body))),
            Ok(Some(Err(error))) => Err(OutgoingError::Protocol(error.to_string())),
            Err(_) => Err(OutgoingError::Timeout),
        };
        Some((part, None))
    });
    StreamBody::new(parts).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_links_and_groups_are_never_allowed_in_whatever_form() {
        for text in [
            "127.0.0.1",
            "127.8.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert!(is_never_allowed(ip.to_canonical()), "{text}");
        }
        for text in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00::1", "64:ff9b::c000:201"] {
            let ip: IpAddr = text.parse().unwrap();
            assert!(!is_never_allowed(ip.to_canonical()), "{text}");
        }
    }
}
