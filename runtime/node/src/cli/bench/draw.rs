//! Which key comes next, and which method: drawn by a seed, so that two runs make the same calls in the same order.

use anyhow::{anyhow, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

/// One call to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    /// The number of the key, from 0: with Zipf the lower, the more often.
    pub(super) key: u32,
    /// The number of the method, from 0.
    pub(super) method: usize,
}

/// How calls are spread over the keys.
#[derive(Debug, Clone, Copy)]
enum Spread {
    Uniform(u32),
    Zipf(Zipf<f64>, u32),
}

/// Draws calls.
#[derive(Debug)]
pub(super) struct Draw {
    random: StdRng,
    spread: Spread,
    /// For each method, the sum of the weights up to it.
    weights: Vec<u64>,
}

impl Draw {
    /// Draws among `keys` keys, with an exponent by Zipf's law, and among methods of these weights.
    ///
    /// # Errors
    /// If there is nothing to draw from.
    pub(super) fn new(
        seed: u64,
        keys: u32,
        zipf: Option<f64>,
        weights: impl Iterator<Item = u32>,
    ) -> anyhow::Result<Draw> {
        let spread = match zipf {
            Some(exponent) => {
                let zipf = Zipf::new(f64::from(keys), exponent)
                    .map_err(|error| anyhow!("--zipf {exponent}: {error}"))?;
                Spread::Zipf(zipf, keys)
            }
            None => Spread::Uniform(keys),
        };
        let sum = |sum: &mut u64, weight: u32| {
            *sum += u64::from(weight);
            Some(*sum)
        };
        let weights: Vec<u64> = weights.scan(0, sum).collect();
        ensure!(
            keys > 0 && weights.last().is_some_and(|sum| *sum > 0),
            "there must be a key to call and a method whose weight is not 0"
        );
        Ok(Draw { random: StdRng::seed_from_u64(seed), spread, weights })
    }

    /// The next call.
    pub(super) fn call(&mut self) -> Drawn {
        let key = match self.spread {
            Spread::Uniform(keys) => self.random.random_range(0..keys),
            // Ranks begin at 1, and are whole though they are no integers.
            Spread::Zipf(zipf, keys) => (zipf.sample(&mut self.random) as u32).clamp(1, keys) - 1,
        };
        let method = match self.weights.as_slice() {
            [] | [_] => 0,
            [.., sum] => {
                let dice = self.random.random_range(0..*sum);
                self.weights.partition_point(|upto| *upto <= dice)
            }
        };
        Drawn { key, method }
    }

    /// One of so many, all alike.
    pub(super) fn one_of(&mut self, count: usize) -> usize {
        if count > 1 { self.random.random_range(0..count) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: u32 = 200_000;

    fn counted(keys: u32, zipf: Option<f64>, weights: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let mut draw = Draw::new(7, keys, zipf, weights.iter().copied()).unwrap();
        let (mut by_key, mut by_method) = (vec![0; keys as usize], vec![0; weights.len()]);
        for _ in 0..CALLS {
            let Drawn { key, method } = draw.call();
            by_key[key as usize] += 1;
            by_method[method] += 1;
        }
        (by_key, by_method)
    }

    fn near(count: u32, share: f64) -> bool {
        (f64::from(count) / f64::from(CALLS) - share).abs() < 0.01
    }

    #[test]
    fn keys_are_drawn_as_often_as_zipfs_law_says() {
        for exponent in [0.5, 0.99, 1.0, 1.5] {
            let (by_key, _) = counted(1_000, Some(exponent), &[1]);
            let weight = |key: usize| ((key + 1) as f64).powf(-exponent);
            let all: f64 = (0..1_000).map(weight).sum();
            for key in [0, 1, 2, 9, 99, 999] {
                let share = weight(key) / all;
                assert!(near(by_key[key], share), "{exponent}, {key}: {} for {share}", by_key[key]);
            }
        }
    }

    #[test]
    fn without_zipf_all_keys_are_alike() {
        let (by_key, _) = counted(10, None, &[1]);
        assert!(by_key.iter().all(|count| near(*count, 0.1)), "{by_key:?}");
    }

    #[test]
    fn methods_are_mixed_by_their_weights() {
        let (_, by_method) = counted(1, None, &[3, 0, 1]);
        assert!(near(by_method[0], 0.75) && by_method[1] == 0 && near(by_method[2], 0.25), "{by_method:?}");
    }

    #[test]
    fn a_seed_gives_the_same_calls_again() {
        let calls = |seed| {
            let mut draw = Draw::new(seed, 1_000, Some(0.99), [1, 2].into_iter()).unwrap();
            (0..100).map(|_| draw.call()).collect::<Vec<_>>()
        };
        assert_eq!(calls(1), calls(1));
        assert_ne!(calls(1), calls(2));
    }

    #[test]
    fn nothing_to_draw_from_is_refused() {
        assert!(Draw::new(1, 0, None, [1].into_iter()).is_err());
        assert!(Draw::new(1, 1, None, [0].into_iter()).is_err());
        assert!(Draw::new(1, 1, None, std::iter::empty()).is_err());
    }
}
