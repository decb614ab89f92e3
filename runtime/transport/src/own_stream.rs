//! The asking side of a request that has a stream to itself: large bodies, and all of [`Class::Bulk`] and [`Class::Join`].

use std::time::Instant;

use bytes::Bytes;
use quinn::{SendStream, VarInt};
use tokio::time::timeout_at;

use crate::class::Class;
use crate::error::{Delivery, TransportError};
use crate::frame::{Batch, Kind, Use, encode_stream_head};
use crate::options::PeerOptions;
use crate::reader::{FrameReader, ReadFailure};
use crate::wire::{Wire, left_ms, outcome};

/// Sends one request on a stream of its own and waits for the reply.
pub(crate) async fn request_on_own_stream(
    wire: &Wire,
    options: &PeerOptions,
    class: Class,
    body: Bytes,
    deadline: Instant,
) -> Result<Bytes, TransportError> {
    let mut delivery = Delivery::NotSent;
    let exchange = async {
        let opened = wire.connection.open_bi().await;
        let (send, receive) = opened.map_err(|_| wire.lost(Delivery::NotSent))?;
        // Fails only when the connection is gone, which the write notices.
        let _ = send.set_priority(class.priority());
        let mut sending = Sending { stream: send, whole: false };
        let mut batch = Batch::default();
        batch.push(0, Kind::Request, left_ms(deadline, Instant::now()), body);
        let mut writes = vec![Bytes::copy_from_slice(&encode_stream_head(class, Use::Own))];
        writes.append(batch.writes());
        let mut reader = FrameReader::new(receive, options.limits(class).body_bytes_max);
        let written = sending.stream.write_all_chunks(&mut writes).await;
        sending.whole = written.is_ok();
        match written {
            Ok(()) => delivery = Delivery::Unknown,
            // The peer wants no more of it, and says why in its reply.
            Err(quinn::WriteError::Stopped(_)) => {}
            Err(_) => return Err(wire.lost(Delivery::NotSent)),
        }
        drop(sending);
        let head = match reader.head().await {
            Ok(Some(head)) => head,
            Ok(None) => return Err(TransportError::Lost { delivery, reason: "no reply came".to_owned() }),
            Err(ReadFailure::Frame(error)) => {
                return Err(TransportError::Lost { delivery, reason: error.to_string() });
            }
            Err(_) => return Err(wire.lost(delivery)),
        };
        let body = reader.body().await.map_err(|_| wire.lost(delivery))?;
        outcome(class, head, body)
            .unwrap_or_else(|error| Err(TransportError::Lost { delivery, reason: error.to_string() }))
    };
    match timeout_at(deadline.into(), exchange).await {
        Ok(result) => result,
        Err(_) => Err(TransportError::Deadline { delivery }),
    }
}

/// A stream that ends as a whole, or is reset: the peer must not wait for the rest of a request that was given up.
struct Sending {
    stream: SendStream,
    whole: bool,
}

impl Drop for Sending {
    fn drop(&mut self) {
        // Both fail only when the peer has stopped the stream already.
        if self.whole {
            let _ = self.stream.finish();
        } else {
            let _ = self.stream.reset(VarInt::from_u32(0));
        }
    }
}
