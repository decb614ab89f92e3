//! Nodes that have a token and no certificate yet.

use bytes::Bytes;
use shardloom_sharding::ids::NodeId;
use shardloom_transport::{
    Class, JoinToken, NodeIdentity, NodeKey, NodeRequest, PeerNet, PeerOptions, SignedNode, TransportError,
};

use crate::peers::{Cluster, anywhere, soon};

fn bare() -> (NodeKey, PeerNet) {
    let key = NodeKey::create().unwrap();
    let net = PeerNet::bind(anywhere(), &key, PeerOptions::default()).unwrap();
    (key, net)
}

#[tokio::test]
async fn a_node_joins_without_a_certificate_and_then_talks_with_one() {
    let cluster = Cluster::new(1);
    let (a, (key, net)) = (cluster.start(1), bare());
    let token: JoinToken = JoinToken::create(&cluster.ca).unwrap().to_string().parse().unwrap();

    // The echo brings the request back as the leader would get it.
    let request = Bytes::from(key.request().unwrap().der);
    let (node, reply) = net.join(a.address(), &token, request, soon()).await.unwrap();
    assert_eq!(node, a.id);
    let signed: SignedNode = cluster.ca.sign(NodeId(2), &NodeRequest { der: reply.to_vec() }).unwrap();
    net.set_identity(&NodeIdentity::assemble(&key, signed).unwrap()).unwrap();

    let reply = net.request(a.id, a.address(), Class::Control, "who am I".into(), soon()).await.unwrap();
    assert_eq!(reply, "Some(0000000000000002)");
}

#[tokio::test]
async fn a_joining_node_has_no_name_at_the_far_end() {
    let cluster = Cluster::new(1);
    let (a, (_, net)) = (cluster.start(1), bare());
    let token = JoinToken::create(&cluster.ca).unwrap();
    let (_, reply) = net.join(a.address(), &token, "who am I".into(), soon()).await.unwrap();
    assert_eq!(reply, "None");
}

#[tokio::test]
async fn a_token_of_another_cluster_is_not_shown_to_this_one() {
    let (ours, theirs) = (Cluster::new(1), Cluster::new(1));
    let (a, (_, net)) = (ours.start(1), bare());
    let token = JoinToken::create(&theirs.ca).unwrap();
    let error = net.join(a.address(), &token, "secret".into(), soon()).await.unwrap_err();
    assert!(error.to_string().contains("not the one that the join token names"), "{error}");
}

#[tokio::test]
async fn a_join_request_is_small() {
    let cluster = Cluster::new(1);
    let (a, (_, net)) = (cluster.start(1), bare());
    let token = JoinToken::create(&cluster.ca).unwrap();
    let body = Bytes::from(vec![0; (64 << 10) + 1]);
    let error = net.join(a.address(), &token, body, soon()).await.unwrap_err();
    assert!(matches!(error, TransportError::TooLarge { class: Class::Join, .. }), "{error}");
}
