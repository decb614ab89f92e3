//! What guests may reach outside the cluster: the hosts that they are granted, and nothing else.

use anyhow::{Result, ensure};
use shardloom_harness::artefacts;
use shardloom_harness::cluster::{Cluster, check};
use shardloom_harness::means::Means;
use shardloom_harness::network::Network;
use shardloom_harness::options::Options;
use shardloom_harness::outside::Outside;

/// What the guest says that came of a request that it sent.
fn fetched(cluster: &Cluster, taker: usize, url: &str) -> Result<String> {
    let reply = cluster.ask(taker, "POST", "/w/web-faulty/fetch").body(url.as_bytes()).send()?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(reply.text())
}

#[test]
fn a_guest_reaches_the_hosts_that_it_is_granted_and_nothing_else() {
    if !Means::offered(&[Means::Namespaces]) {
        return;
    }
    let options = Network::namespaces().and_then(|network| Ok(Options { network, ..Options::of(2)? }));
    check(options, |cluster| {
        let outside = cluster.network().wires()?.outside();
        let node = cluster.network().wires()?.address(1);
        let inner = std::net::Ipv4Addr::LOCALHOST;
        let _outside = Outside::start(
            outside,
            &[("granted.test", outside), ("other.test", outside), ("inner.test", inner), ("node.test", node)],
        )?;

        let component = artefacts::guest("web-faulty")?.display().to_string();
        let deploy = ["deploy", &component, "--key-from", "path:1"];
        let refused = cluster.cli_output(&deploy)?;
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success() && words.contains("`wasi:http/outgoing-handler@0.2"), "{words}");
        let grants = ["granted.test", "inner.test", "node.test"].map(|host| format!("http:{host}"));
        let grants = grants.iter().flat_map(|grant| ["--grant", grant]);
        cluster.cli(&deploy.into_iter().chain(grants).collect::<Vec<_>>())?;

        let (denied, prohibited) =
            ("error: ErrorCode::HttpRequestDenied", "error: ErrorCode::DestinationIpProhibited");
        for (url, expected) in [
            ("http://granted.test/", "200: hello from granted.test"),
            ("http://granted.test/to/granted.test/", "redirected: 200: hello from granted.test"),
            ("http://other.test/", denied),
            ("http://granted.test/to/other.test/", denied),
            ("http://inner.test:7080/healthz", prohibited),
            ("http://granted.test/to/inner.test:7080/healthz", prohibited),
            ("http://node.test:7080/healthz", prohibited),
            ("http://granted.test/to/node.test:7080/healthz", prohibited),
        ] {
            for taker in 0..2 {
                let said = fetched(cluster, taker, url)?;
                ensure!(said == expected, "{url}: {said}");
            }
        }
        // By its address, a host is another one than by its name.
        let said = fetched(cluster, 0, &format!("http://{outside}/"))?;
        ensure!(said == denied, "{said}");
        Ok(())
    });
}
