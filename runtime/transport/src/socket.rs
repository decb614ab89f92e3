//! The UDP socket, with a switch that cuts the cable to an address: partitions for tests and drills, below QUIC, so that
//! everything above meets them as it would meet real ones.

use std::collections::HashSet;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::oneshot;

/// Which addresses are cut off.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    /// False is by far the most common case, and costs one load per packet.
    any: AtomicBool,
    cut: RwLock<Cut>,
}

#[derive(Debug, Default)]
struct Cut {
    all: bool,
    addresses: HashSet<SocketAddr>,
}

impl Cuts {
    pub(crate) fn cut(&self, address: SocketAddr) {
        self.change(|cut| {
            cut.addresses.insert(address);
        });
    }

    pub(crate) fn heal(&self, address: SocketAddr) {
        self.change(|cut| {
            cut.addresses.remove(&address);
        });
    }

    pub(crate) fn cut_all(&self) {
        self.change(|cut| cut.all = true);
    }

    pub(crate) fn heal_all(&self) {
        self.change(|cut| *cut = Cut::default());
    }

    fn change(&self, change: impl FnOnce(&mut Cut)) {
        let mut cut = self.cut.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut cut);
        self.any.store(cut.all || !cut.addresses.is_empty(), Ordering::Release);
    }

    fn is_cut(&self, address: SocketAddr) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let cut = self.cut.read().unwrap_or_else(PoisonError::into_inner);
        cut.all || cut.addresses.contains(&address)
    }
}

/// What has gone through a socket so far, in bytes of UDP payload.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// A UDP socket that counts what passes, and loses what goes over a cut.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) inner: Arc<dyn AsyncUdpSocket>,
    pub(crate) cuts: Arc<Cuts>,
    pub(crate) passed: Arc<Passed>,
    /// Dropped with the socket, so that closing can wait until the port is free.
    pub(crate) _open: oneshot::Sender<()>,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.cuts.is_cut(transmit.destination) {
            return Ok(());
        }
        self.inner.try_send(transmit)?;
        self.passed.sent.fetch_add(transmit.contents.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.inner.poll_recv(context, buffers, meta);
        if let Poll::Ready(Ok(count)) = &received {
            for meta in &mut meta[..*count] {
                self.passed.received.fetch_add(meta.len as u64, Ordering::Relaxed);
                if self.cuts.is_cut(meta.addr) {
                    // An empty datagram is passed over by the endpoint.
                    meta.len = 0;
                }
            }
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}
