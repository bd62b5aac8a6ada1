//! The whole service behind its layers, with real tokens, and an order service that is nothing but its feed.

use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1::care_service_client::CareServiceClient;
use contracts::fulfillment::v1::fulfillment_feed_service_client::FulfillmentFeedServiceClient;
use contracts::fulfillment::v1::fulfillment_service_client::FulfillmentServiceClient;
use contracts::fulfillment::v1::return_service_client::ReturnServiceClient;
use fulfillment::{Config, Deps};
use kit::auth::{Claims, ServiceTokens};
use kit::lifecycle::DrainConfig;
use kit::wire::Wire;
use testkit::TestDb;
use testkit::house::{House, Through};

use crate::common::partner;

pub type Client = FulfillmentServiceClient<Through>;
pub type ReturnClient = ReturnServiceClient<Through>;
pub type CareClient = CareServiceClient<Through>;
pub type FeedClient = FulfillmentFeedServiceClient<Through>;

/// What servers of the suite share.
pub fn house(t: &TestDb) -> House {
    House::new(
        t,
        &[
            "fulfillment.read",
            "fulfillment.write",
            "return.write",
            "care.read",
            "care.write",
            "feed.read",
        ],
    )
}

/// The tokens of this service for the order service.
pub fn service_tokens(house: &House) -> ServiceTokens {
    house.service_tokens("fulfillment", &["feed.read", "order.read"])
}

/// The service, served inside this process.
pub struct Server {
    pub house: House,
    pub wire: Wire,
}

impl Server {
    /// Without background work; the order service never answers.
    pub async fn start(t: &TestDb) -> Server {
        let (_never_tied, order) = Wire::late();
        Self::start_with(t, house(t), order, Config::default(), false).await
    }

    pub async fn start_with(
        t: &TestDb,
        house: House,
        order: Wire,
        config: Config,
        tasks: bool,
    ) -> Server {
        let deps = Deps {
            db: t.db.clone(),
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            lifecycle: house.life.clone(),
            order,
        };
        let mut parts = fulfillment::assemble(config, deps)
            .await
            .expect("it can be put together");
        assert_eq!(parts.name, fulfillment::NAME);
        if tasks {
            house.life.adopt(&mut parts);
            assert!(house.life.is_ready().await);
        }
        let wire = house.serve(|routes| (parts.routes)(routes));
        Server { house, wire }
    }

    pub fn client(&self, claims: Claims) -> Client {
        FulfillmentServiceClient::with_interceptor(self.wire.clone(), self.house.token(claims))
    }

    pub fn retailer(&self, role: RetailerRole) -> Client {
        self.client(Claims::retailer("ana", &[role]))
    }

    pub fn partner(&self, at: u128) -> Client {
        self.client(Claims::partner("gateway", &partner(at)))
    }

    pub fn service(&self) -> Client {
        self.client(Claims::service("order", Some("partner:acme")))
    }

    pub fn returns(&self, claims: Claims) -> ReturnClient {
        ReturnServiceClient::with_interceptor(self.wire.clone(), self.house.token(claims))
    }

    /// Returns as a role of the retailer.
    pub fn returns_as(&self, role: RetailerRole) -> ReturnClient {
        self.returns(Claims::retailer("ana", &[role]))
    }

    /// Returns as a partner.
    pub fn returns_of(&self, at: u128) -> ReturnClient {
        self.returns(Claims::partner("gateway", &partner(at)))
    }

    /// Customer care.
    pub fn care(&self, claims: Claims) -> CareClient {
        CareServiceClient::with_interceptor(self.wire.clone(), self.house.token(claims))
    }

    /// Customer care as somebody of the retailer.
    pub fn care_as(&self, subject: &str, role: RetailerRole) -> CareClient {
        self.care(Claims::retailer(subject, &[role]))
    }

    /// Customer care as a partner.
    pub fn care_of(&self, at: u128) -> CareClient {
        self.care(Claims::partner("gateway", &partner(at)))
    }

    pub fn feed(&self, claims: Claims) -> FeedClient {
        FulfillmentFeedServiceClient::with_interceptor(self.wire.clone(), self.house.token(claims))
    }

    pub async fn stop(self) {
        let report = self.house.life.drain(&DrainConfig::quick()).await;
        assert!(report.is_clean(), "{report:?}");
    }
}
