//! Who a node is: a key that never leaves it, and the certificate by which its cluster vouches for it.

use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use shardloom_sharding::ids::{ClusterId, NodeId};

use crate::ca::{IdentityError, NodeRequest, SignedNode, cluster_of_ca, parse_certificate, pin_of};
use crate::name::ids_of;

/// A node's private key. Made on the node before it joins, and kept.
pub struct NodeKey {
    pair: KeyPair,
}

/// A node's key together with the certificates of its cluster: what it takes to talk to peers.
#[derive(Clone)]
pub struct NodeIdentity {
    cluster: ClusterId,
    node: NodeId,
    signed: SignedNode,
    chain: Vec<CertificateDer<'static>>,
    key_der: Vec<u8>,
    key_pem: String,
}

impl NodeKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn create() -> Result<NodeKey, IdentityError> {
        Ok(NodeKey { pair: KeyPair::generate().map_err(IdentityError::Key)? })
    }

    /// Reads back what [`NodeKey::to_pem`] wrote.
    ///
    /// # Errors
    /// When the text is not a usable private key.
    pub fn from_pem(pem: &str) -> Result<NodeKey, IdentityError> {
        Ok(NodeKey { pair: KeyPair::from_pem(pem).map_err(IdentityError::Key)? })
    }

    /// The key as PEM. Secret: to be stored readable by the node alone.
    pub fn to_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// The SHA-256 of the public key, as [`NodeRequest::key_hash`] has it.
    pub fn key_hash(&self) -> [u8; 32] {
        Sha256::digest(self.pair.public_key_raw()).into()
    }

    /// The request by which the cluster signs this key.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn request(&self) -> Result<NodeRequest, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let request = params.serialize_request(&self.pair).map_err(IdentityError::Sign)?;
        Ok(NodeRequest { der: request.der().to_vec() })
    }

    /// A secret of the endpoint that outlives the process, so that a restarted node can tell peers at once that it has
    /// forgotten their connections. Whoever has it can make them dial again, no more.
    pub fn endpoint_secret(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"shardloom endpoint secret\0");
        hash.update(self.pair.serialized_der());
        hash.finalize().into()
    }
}

impl NodeIdentity {
    /// Joins a key with the certificates that the cluster made for it.
    ///
    /// # Errors
    /// When the certificate is not that of this key, or the authority is not that of the same cluster.
    pub fn assemble(key: &NodeKey, signed: SignedNode) -> Result<NodeIdentity, IdentityError> {
        let mismatch = |reason: &str| IdentityError::Mismatch { what: "node", reason: reason.to_owned() };
        let certificate = parse_certificate("node certificate", &signed.certificate_pem)?;
        let ca = parse_certificate("CA certificate", &signed.ca_pem)?;
        let (cluster, node) = ids_of(&certificate).ok_or_else(|| mismatch("it names no node"))?;
        if cluster_of_ca(&ca)? != cluster {
            return Err(mismatch("its authority is that of another cluster"));
        }
        let parsed =
            webpki::EndEntityCert::try_from(&certificate).map_err(|error| mismatch(&error.to_string()))?;
        if parsed.subject_public_key_info().as_ref() != key.pair.subject_public_key_info() {
            return Err(mismatch("it is not the certificate of this node's key"));
        }
        let chain = vec![certificate, ca];
        Ok(NodeIdentity {
            cluster,
            node,
            signed,
            chain,
            key_der: key.pair.serialize_der(),
            key_pem: key.to_pem(),
        })
    }

    /// Reads an identity back from its three texts.
    ///
    /// # Errors
    /// As [`NodeIdentity::assemble`], or when the key is damaged.
    pub fn from_pem(
        key_pem: &str,
        certificate_pem: &str,
        ca_pem: &str,
    ) -> Result<NodeIdentity, IdentityError> {
        let signed = SignedNode { certificate_pem: certificate_pem.to_owned(), ca_pem: ca_pem.to_owned() };
        NodeIdentity::assemble(&NodeKey::from_pem(key_pem)?, signed)
    }

    /// The cluster that vouches for this node.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The node's certificate and its authority's, PEM.
    pub fn signed(&self) -> &SignedNode {
        &self.signed
    }

    /// The SHA-256 of the authority's certificate: with it any node can make a join token.
    pub fn ca_pin(&self) -> [u8; 32] {
        pin_of(self.ca())
    }

    /// The SHA-256 of the node's certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        pin_of(&self.chain[0])
    }

    /// The private key, PEM. Secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The node's certificate, then its authority's: what TLS presents.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// The authority's certificate: what TLS trusts.
    pub(crate) fn ca(&self) -> &CertificateDer<'static> {
        &self.chain[1]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()))
    }
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeKey(secret)")
    }
}

impl std::fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeIdentity({} of cluster {})", self.node, self.cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::ClusterCa;

    #[test]
    fn an_identity_survives_being_written_and_read() {
        let ca = ClusterCa::create(ClusterId(7)).unwrap();
        let ca = ClusterCa::from_pem(ca.certificate_pem(), &ca.key_pem()).unwrap();
        let key = NodeKey::create().unwrap();
        let signed = ca.sign(NodeId(3), &key.request().unwrap()).unwrap();
        let made = NodeIdentity::assemble(&key, signed).unwrap();
        let read =
            NodeIdentity::from_pem(made.key_pem(), &made.signed().certificate_pem, &made.signed().ca_pem)
                .unwrap();
        assert_eq!((read.cluster(), read.node()), (ClusterId(7), NodeId(3)));
        assert_eq!(key.request().unwrap().key_hash().unwrap(), key.key_hash());
        assert_eq!(read.ca_pin(), ca.pin());
        assert!(!format!("{read:?} {key:?} {ca:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_certificate_of_another_key_or_cluster_is_refused() {
        let (ca, other) =
            (ClusterCa::create(ClusterId(7)).unwrap(), ClusterCa::create(ClusterId(8)).unwrap());
        let (key, stranger) = (NodeKey::create().unwrap(), NodeKey::create().unwrap());
        let signed = ca.sign(NodeId(3), &key.request().unwrap()).unwrap();
        let error = NodeIdentity::assemble(&stranger, signed.clone()).unwrap_err();
        assert!(error.to_string().contains("not the certificate of this node's key"), "{error}");
        let mixed = SignedNode { ca_pem: other.certificate_pem().to_owned(), ..signed };
        let error = NodeIdentity::assemble(&key, mixed).unwrap_err();
        assert!(error.to_string().contains("another cluster"), "{error}");
        assert!(ClusterCa::from_pem(ca.certificate_pem(), &other.key_pem()).is_err());
    }

    #[test]
    fn a_damaged_signing_request_never_gets_another_key_signed() {
        let ca = ClusterCa::create(ClusterId(7)).unwrap();
        let key = NodeKey::create().unwrap();
        let request = key.request().unwrap();
        let mut refused = 0;
        for bit in 0..request.der.len() * 8 {
            let mut damaged = request.clone();
            damaged.der[bit / 8] ^= 1 << (bit % 8);
            match ca.sign(NodeId(3), &damaged) {
                // The name of the signature's algorithm is the one part that is not signed itself.
                Ok(signed) => drop(NodeIdentity::assemble(&key, signed).expect("the same key")),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > request.der.len() * 7, "{refused} of {} refused", request.der.len() * 8);
    }
}
