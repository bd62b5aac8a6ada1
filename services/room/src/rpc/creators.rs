//! CreatorService.

use contracts::id::CreatorId;
use contracts::room::v1::creator_service_server::CreatorService;
use contracts::room::v1::*;
use kit::validate::Violations;
use tonic::Request;

use super::{Answer, Api, Keys, after, eyes, given, open, render, request_id};
use crate::model::Eyes;
use crate::ops::follows::{ReadCreator, ReadCreators, RegisterCreator};

const NAME_MAX: usize = 120;
const PAYEE_MAX: usize = 64;

#[tonic::async_trait]
impl CreatorService for Api {
    async fn register_creator(
        &self,
        request: Request<RegisterCreatorRequest>,
    ) -> Answer<RegisterCreatorResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let operation = v.required("creator", &asked.creator).map(|creator| {
            let mut inside = v.nested("creator");
            RegisterCreator {
                display_name: inside.text("display_name", &creator.display_name, 1..=NAME_MAX),
                payee_reference: inside.text(
                    "payee_reference",
                    &creator.payee_reference,
                    0..=PAYEE_MAX,
                ),
            }
        });
        v.finish()?;
        let keys = Keys {
            method: "vitrine.room.v1.CreatorService/RegisterCreator",
            request_id,
            request: &asked,
        };
        let render = |creator: &_| RegisterCreatorResponse {
            creator: Some(render::creator(creator, &Eyes::Retailer, 0)),
        };
        Ok(self
            .mutate(&caller, keys, given(operation)?, render)
            .await?
            .into())
    }

    async fn get_creator(&self, request: Request<GetCreatorRequest>) -> Answer<GetCreatorResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let creator_id = v.id::<CreatorId>("creator_id", &asked.creator_id);
        v.finish()?;
        let read = ReadCreator {
            creator_id: given(creator_id)?,
        };
        let (creator, followers) = self.read(&caller, read).await?;
        Ok(GetCreatorResponse {
            creator: Some(render::creator(&creator, &eyes(&caller)?, followers)),
        }
        .into())
    }

    async fn list_creators(
        &self,
        request: Request<ListCreatorsRequest>,
    ) -> Answer<ListCreatorsResponse> {
        let (caller, asked) = open(request)?;
        let page = self.page(
            &caller,
            asked.page_size,
            &asked.page_token,
            &["ListCreators"],
        )?;
        let read = ReadCreators {
            after: after(&page)?,
            limit: page.limit(),
        };
        let eyes = eyes(&caller)?;
        let creators = self.read(&caller, read).await?;
        let (creators, next_page_token) =
            page.cut(creators, |(creator, _)| vec![creator.id.to_string()]);
        let creators = creators
            .iter()
            .map(|(creator, followers)| render::creator(creator, &eyes, *followers));
        Ok(ListCreatorsResponse {
            creators: creators.collect(),
            next_page_token,
        }
        .into())
    }
}
