//! The authority of a cluster is replaced, while its nodes talk.

use bytes::Bytes;
use shardloom_sharding::ids::NodeId;
use shardloom_transport::{
    Class, Credentials, Delivery, JoinToken, NodeIdentity, NodeKey, PeerNet, PeerOptions, TransportError,
    fingerprint_of_pem,
};

use crate::peers::{Cluster, Node, anywhere, reaches, soon};

/// One-way messages that are sent while connections are replaced.
const MESSAGES: usize = 3_000;

/// What a node has by either authority.
struct Two {
    old: NodeIdentity,
    new: NodeIdentity,
}

impl Two {
    fn of(node: &Node, old: &Cluster, new: &Cluster) -> Two {
        let key = NodeKey::create().unwrap();
        Two { old: old.identity(node.id.0, &node.key), new: new.identity(node.id.0, &key) }
    }

    /// Shows the old certificate, trusts both authorities.
    fn introduced(&self) -> Credentials {
        Credentials::of(self.old.clone()).and_trusting(&self.new.signed().ca_pem).unwrap()
    }

    /// Shows the new one, trusts both.
    fn switched(&self) -> Credentials {
        Credentials::of(self.new.clone()).and_trusting(&self.old.signed().ca_pem).unwrap()
    }

    /// Shows the new one, trusts the new authority.
    fn retired(&self) -> Credentials {
        Credentials::of(self.new.clone())
    }
}

fn two_authorities() -> (Cluster, Cluster) {
    (Cluster::new(1), Cluster::new(1))
}

#[tokio::test]
async fn live_nodes_change_their_certificates_and_nothing_between_them_is_lost() {
    let (old, new) = two_authorities();
    let (a, b) = (old.start(1), old.start(2));
    let (of_a, of_b) = (Two::of(&a, &old, &new), Two::of(&b, &old, &new));
    for (from, to) in [(&a, &b), (&b, &a)] {
        from.ask(to, Class::Requests, b"x").await.unwrap();
    }
    // A certificate that is signed once more is another one.
    assert_eq!(a.net.shown_by(b.id), b.net.shown_by(b.id));

    let sending = async {
        for n in 0..MESSAGES {
            let body = Bytes::from(n.to_le_bytes().to_vec());
            a.net.send(b.id, b.address(), Class::Appends, body, soon()).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let held = a.ask(&b, Class::Requests, b"hold");
    let rotating = async {
        reaches(&b.echo.holding, 1).await;
        a.net.set_credentials(&of_a.introduced()).unwrap();
        b.net.set_credentials(&of_b.introduced()).unwrap();
        b.net.set_credentials(&of_b.switched()).unwrap();
        a.net.set_credentials(&of_a.switched()).unwrap();
        // The request that is held keeps its connection; later ones take the new one.
        let renewed = async { tokio::try_join!(a.net.renew_links(), b.net.renew_links()).unwrap() };
        let later = async {
            while a.net.shown_by(b.id) != Some(of_b.new.fingerprint()) {
                a.ask(&b, Class::Requests, b"y").await.unwrap();
            }
            b.echo.released.send_replace(true);
        };
        tokio::join!(renewed, later);
        a.net.set_credentials(&of_a.retired()).unwrap();
        b.net.set_credentials(&of_b.retired()).unwrap();
        tokio::try_join!(a.net.renew_links(), b.net.renew_links()).unwrap();
    };
    let (held, (), ()) = tokio::join!(held, sending, rotating);
    assert_eq!(held.unwrap(), "released");
    reaches(&b.echo.delivered, MESSAGES).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        let name = format!("Some({})", from.id);
        assert_eq!(from.ask(to, Class::Requests, b"who am I").await.unwrap(), name);
    }
    assert_eq!(a.net.shown_by(b.id), Some(of_b.new.fingerprint()));
    assert_eq!(a.net.shown_by(a.id), Some(of_a.new.fingerprint()));
}

#[tokio::test]
async fn an_old_certificate_is_good_while_both_are_trusted_and_for_nothing_after_that() {
    let (old, new) = two_authorities();
    let (a, c) = (old.start(1), old.start(3));
    let (of_a, of_c) = (Two::of(&a, &old, &new), Two::of(&c, &old, &new));
    c.net.set_credentials(&of_c.introduced()).unwrap();
    a.net.set_credentials(&of_a.switched()).unwrap();
    a.net.renew_links().await.unwrap();
    // Each way: what is dialled, and what dials, by the old one and by the new one.
    c.ask(&a, Class::Control, b"x").await.unwrap();
    a.ask(&c, Class::Control, b"x").await.unwrap();

    a.net.set_credentials(&of_a.retired()).unwrap();
    // The connection that c had is closed, and it gets no other.
    let error = loop {
        if let Err(error) = c.ask(&a, Class::Control, b"x").await
            && matches!(error, TransportError::Connect { .. })
        {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert!(error.to_string().contains("signed by another cluster's authority"), "{error}");
    assert_eq!(error.delivery(), Delivery::NotSent);
    // Nor does a go on with one over which the old certificate was shown to it.
    a.net.renew_links().await.unwrap();
    let error = a.ask(&c, Class::Control, b"x").await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent);

    c.net.set_credentials(&of_c.retired()).unwrap();
    assert_eq!(c.ask_patiently(&a, Class::Control, b"x").await, "x");
    assert_eq!(a.ask_patiently(&c, Class::Control, b"x").await, "x");
}

#[tokio::test]
async fn a_certificate_may_change_and_the_node_may_not() {
    let (old, new) = two_authorities();
    let (a, other) = (old.start(1), Cluster::new(9));
    let key = NodeKey::create().unwrap();
    let error = a.net.set_identity(&new.identity(2, &key)).unwrap_err();
    assert!(error.to_string().contains("another identity"), "{error}");
    let credentials = Credentials::of(old.identity(1, &a.key));
    assert!(credentials.and_trusting(other.ca.certificate_pem()).is_err(), "another cluster's authority");
    a.net.set_identity(&new.identity(1, &key)).unwrap();
}

#[tokio::test]
async fn a_token_of_before_says_that_a_new_one_is_needed() {
    let (old, new) = two_authorities();
    let a = new.start(1);
    let net = PeerNet::bind(anywhere(), &NodeKey::create().unwrap(), PeerOptions::default()).unwrap();
    let token = JoinToken::create(&old.ca).unwrap();
    let error = net.join(a.address(), &token, "secret".into(), soon()).await.unwrap_err();
    assert!(error.to_string().contains("make a new token"), "{error}");
    let pin = fingerprint_of_pem(new.ca.certificate_pem()).unwrap();
    let token = JoinToken::for_authority(new.ca.cluster(), pin).unwrap();
    let (node, _) = net.join(a.address(), &token, "secret".into(), soon()).await.unwrap();
    assert_eq!(node, NodeId(1));
}
