//! Any bytes are either refused as a trained router or, where they hold a policy that `budget_aware` takes, route.
#![no_main]

use fingerpost_core::{Catalogue, Context, Limits, Profile, Query, Router, Timestamp};
use fingerpost_models::{BudgetAware, BudgetAwareConfig, Trained};
use libfuzzer_sys::fuzz_target;
use rand::{SeedableRng, rngs::SmallRng};

fuzz_target!(|content: &[u8]| {
    let _ = Trained::from_bytes(content);
    // Behind the right beginning and with the checksum that fits, the content is read.
    let mut bytes = b"FPROUTER\x02\0\0\0".to_vec();
    bytes.extend(content);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let Ok(trained) = Trained::from_bytes(&bytes) else {
        return;
    };
    let Some(policy) = trained.policy() else {
        return;
    };
    let config = BudgetAwareConfig::default();
    let Ok(router) = BudgetAware::new(&config, "fuzzed".into(), Some(policy.clone()), None) else {
        return;
    };
    let catalogue = Catalogue::new(["small", "large"].map(Profile::named)).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    router
        .route(&Query::text("fix it"), &catalogue.ids(), &mut cx)
        .unwrap();
});
