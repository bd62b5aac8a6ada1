//! ProductService.

use contracts::catalog::v1::product_service_server::ProductService;
use contracts::catalog::v1::*;
use contracts::id::ProductId;
use kit::validate::Violations;
use tonic::Request;

use super::{Answer, Keys, Rpc, etag, given, open, parse, render, request_id};
use crate::model::product::Product as Known;
use crate::ops::import::WithSources;
use crate::ops::product::{AddVariant, ArchiveProduct, CheckProduct, CreateProduct, UpdateProduct};
use crate::ops::read;

/// The longest brand that a list may be asked for.
const BRAND_MAX: usize = 120;

#[tonic::async_trait]
impl ProductService for Rpc {
    async fn create_product(
        &self,
        request: Request<CreateProductRequest>,
    ) -> Answer<CreateProductResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let sent = v.required("product", &asked.product);
        let parsed = sent.map(|product| parse::product(&mut v.nested("product"), product));
        v.finish()?;
        parse::offered_product(given(sent)?)?;
        let (details, variants) = given(parsed)?;
        let operation = CreateProduct { details, variants };
        if asked.validate_only {
            let product = self.read(&caller, CheckProduct(operation)).await?;
            return Ok(CreateProductResponse {
                product: Some(render::checked_product(&product)),
            }
            .into());
        }
        let keys = Keys {
            method: "vitrine.catalog.v1.ProductService/CreateProduct",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |product| CreateProductResponse {
            product: Some(render::product(product)),
        })
        .await
    }

    async fn update_product(
        &self,
        request: Request<UpdateProductRequest>,
    ) -> Answer<UpdateProductResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let sent = v
            .required("product", &asked.product)
            .cloned()
            .unwrap_or_default();
        let product_id = v
            .nested("product")
            .id::<ProductId>("product_id", &sent.product_id);
        let etag = etag(&mut v.nested("product"), &sent.etag);
        let change = parse::product_change(&mut v, &sent, asked.update_mask.as_ref());
        v.finish()?;
        let operation = UpdateProduct {
            product_id: given(product_id)?,
            change,
            etag,
            refresh_limit: self.config.refresh_limit(),
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.ProductService/UpdateProduct",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |product| UpdateProductResponse {
            product: Some(render::product(product)),
        })
        .await
    }

    async fn add_variant(&self, request: Request<AddVariantRequest>) -> Answer<AddVariantResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let product_id = v.id::<ProductId>("product_id", &asked.product_id);
        let sent = v.required("variant", &asked.variant);
        let variant = sent.map(|variant| parse::variant(&mut v.nested("variant"), variant));
        v.finish()?;
        parse::offered_variant("variant.unit_policy", given(sent)?)?;
        let operation = AddVariant {
            product_id: given(product_id)?,
            variant: given(variant)?,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.ProductService/AddVariant",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |product: &Known| {
            AddVariantResponse {
                product: Some(render::product(product)),
            }
        })
        .await
    }

    async fn archive_product(
        &self,
        request: Request<ArchiveProductRequest>,
    ) -> Answer<ArchiveProductResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let product_id = v.id::<ProductId>("product_id", &asked.product_id);
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let operation = ArchiveProduct {
            product_id: given(product_id)?,
            etag,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.ProductService/ArchiveProduct",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |product| ArchiveProductResponse {
            product: Some(render::product(product)),
        })
        .await
    }

    type ImportProductsStream = super::import::Answers;

    async fn import_products(
        &self,
        request: Request<tonic::Streaming<ImportProductsRequest>>,
    ) -> Answer<Self::ImportProductsStream> {
        super::import::import(self, request).await
    }

    async fn get_product(&self, request: Request<GetProductRequest>) -> Answer<GetProductResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let product_id = v.id::<ProductId>("product_id", &asked.product_id);
        v.finish()?;
        let operation = read::GetProduct {
            product_id: given(product_id)?,
        };
        let (product, sources) = self.read(&caller, WithSources(operation)).await?;
        let mut answer = render::product(&product);
        super::import::add_sources(&mut answer, &product, &sources);
        Ok(GetProductResponse {
            product: Some(answer),
        }
        .into())
    }

    async fn list_products(
        &self,
        request: Request<ListProductsRequest>,
    ) -> Answer<ListProductsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let brand = v.opt_text("brand", &asked.brand, 1..=BRAND_MAX);
        v.finish()?;
        let query = ["ListProducts", asked.brand.as_str()];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let operation = WithSources(read::ListProducts { brand, slice });
        let (products, sources) = self.read(&caller, operation).await?;
        let render = |product: &Known| {
            let mut answer = render::product(product);
            super::import::add_sources(&mut answer, product, &sources);
            answer
        };
        let products = products.iter().map(render).collect();
        let (products, next_page_token) = self.cut(&page, products, |item| &item.product_id);
        Ok(ListProductsResponse {
            products,
            next_page_token,
        }
        .into())
    }
}
