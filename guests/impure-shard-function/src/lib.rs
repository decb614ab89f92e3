//! A shard function that asks what time it is, so that two nodes would answer differently. Nobody is granted the import, so it
//! must be refused by name.

wit_bindgen::generate!({
    inline: "
        package shardloom:impure@0.1.0;

        interface clock {
            now: func() -> u64;
        }

        world impure-shard-function {
            import clock;
            export shard-of: func(key: string, shard-count: u32) -> u32;
        }
    ",
});

struct Impure;

export!(Impure);

impl Guest for Impure {
    fn shard_of(_key: String, shard_count: u32) -> u32 {
        (shardloom::impure::clock::now() % u64::from(shard_count)) as u32
    }
}
