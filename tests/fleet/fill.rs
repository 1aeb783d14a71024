//! Whether all of the limit can be used.

use super::{
    client::{Body, put},
    content::Content,
    host::Host,
    sampler::stored,
    site::eventually,
    uploader::Expected,
};

const SMALL: usize = 16 << 10;

/// Fills up with small files through both servers, until neither takes one more and this much is stored.
pub(super) fn fill(hosts: &[Host], enough: u64) -> Vec<Expected> {
    let mut all = vec![Expected::new(); hosts.len()];
    let mut number = 0;
    eventually("nearly all of the limit can be used", || {
        let mut is_full = true;
        for (host, files) in hosts.iter().zip(&mut all) {
            let address = host.address().expect("it runs");
            number += 1;
            let name = format!("fill-{number}");
            let content = Content {
                seed: number,
                size: SMALL,
            };
            let answer = put(address, &name, &content.bytes(), Body::Known).expect("an answer");
            match answer.status {
                201 => {
                    files.insert(name, vec![Some(content)]);
                    is_full = false;
                }
                507 => {}
                status => panic!("status {status} where there is room or there is none"),
            }
        }
        is_full && stored(hosts) >= enough
    });
    all
}
