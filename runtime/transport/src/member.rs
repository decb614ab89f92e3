//! What a node is on the net under its credentials of now: how it dials, how it is dialled, and whom it believes.

use quinn::{ClientConfig, Connection, ServerConfig};
use rustls::pki_types::CertificateDer;
use shardloom_sharding::ids::{ClusterId, NodeId};

use crate::credentials::Credentials;
use crate::options::PeerOptions;
use crate::quic::{client_config, server_config};
use crate::tls::{Believed, member_client, member_server};

/// A node that has credentials. Replaced as a whole when they change.
pub(crate) struct Member {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// The SHA-256 of the certificate that this node shows.
    pub(crate) fingerprint: [u8; 32],
    pub(crate) client: ClientConfig,
    pub(crate) server: ServerConfig,
    believed: Believed,
}

impl Member {
    pub(crate) fn new(credentials: &Credentials, options: &PeerOptions) -> Result<Member, rustls::Error> {
        let identity = credentials.identity();
        Ok(Member {
            cluster: identity.cluster(),
            node: identity.node(),
            fingerprint: identity.fingerprint(),
            client: client_config(member_client(credentials)?, options),
            server: server_config(member_server(credentials)?, options),
            believed: Believed::new(credentials)?,
        })
    }

    /// Whether the far end's certificate, by which the handshake knew it, is good still. A stranger has shown none.
    pub(crate) fn believes(&self, connection: &Connection) -> bool {
        chain_of(connection)
            .and_then(|chain| chain.into_iter().next())
            .is_none_or(|certificate| self.believed.believes(&certificate))
    }
}

/// The certificates that the far end has shown.
pub(crate) fn chain_of(connection: &Connection) -> Option<Vec<CertificateDer<'static>>> {
    connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok().map(|chain| *chain)
}
