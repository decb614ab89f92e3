//! The name that a node's certificate carries: `NODE.CLUSTER.shardloom`, as a DNS name, so that one certificate binds
//! both ids and any TLS library can check it.

use rustls::pki_types::CertificateDer;
use shardloom_sharding::ids::{ClusterId, NodeId};

const SUFFIX: &str = "shardloom";

/// The certificate name of a node of a cluster.
pub(crate) fn node_name(cluster: ClusterId, node: NodeId) -> String {
    format!("{node}.{cluster}.{SUFFIX}")
}

/// The name that a joining node asks for: it does not know yet which node answers.
pub(crate) fn join_name(cluster: ClusterId) -> String {
    format!("join.{cluster}.{SUFFIX}")
}

/// Reads a node name back.
pub(crate) fn parse_node_name(name: &str) -> Option<(ClusterId, NodeId)> {
    let mut labels = name.split('.');
    let node = labels.next()?.parse().ok()?;
    let cluster = labels.next()?.parse().ok()?;
    (labels.next() == Some(SUFFIX) && labels.next().is_none()).then_some((cluster, node))
}

/// The ids that a certificate is bound to, if it is a node's. Says nothing about who signed it.
pub(crate) fn ids_of(certificate: &CertificateDer<'_>) -> Option<(ClusterId, NodeId)> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut names = parsed.valid_dns_names();
    let ids = parse_node_name(names.next()?);
    // A second name would make it ambiguous who speaks.
    if names.next().is_some() { None } else { ids }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_reads_back_and_others_do_not() {
        let (cluster, node) = (ClusterId(0xabc), NodeId(u64::MAX));
        assert_eq!(parse_node_name(&node_name(cluster, node)), Some((cluster, node)));
        for other in
            [join_name(cluster), "x.y.shardloom".into(), String::new(), node_name(cluster, node) + ".com"]
        {
            assert_eq!(parse_node_name(&other), None, "{other}");
        }
    }
}
