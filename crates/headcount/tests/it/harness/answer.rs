//! A whole response, and the questions that tests ask of it.

use reqwest::blocking::{RequestBuilder, Response};
use reqwest::header::HeaderMap;
use serde_json::Value;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn to(request: RequestBuilder) -> Self {
        Self::read(request.send().unwrap()).expect("a response that ends cleanly")
    }

    pub(crate) fn read(response: Response) -> reqwest::Result<Self> {
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes()?.to_vec(),
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body of an export that went well.
    pub(crate) fn csv(&self) -> String {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.text()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        header_of(&self.headers, name)
    }

    /// The first column of the records after the header.
    pub(crate) fn ids(&self) -> Vec<String> {
        let records = csv_records(self.csv().as_bytes());
        let ids = records.iter().skip(1).map(|record| record[0].clone());
        ids.collect()
    }

    /// Status and detail of an error, whose form is checked.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let content_type = self.header("content-type");
        assert!(content_type.starts_with("application/json"), "{content_type}");
        let json = self.json();
        assert_eq!(json["status_code"], self.status, "{json}");
        (self.status, json["detail"].as_str().expect("a detail").to_owned())
    }

    /// The detail of an error with this status.
    pub(crate) fn detail(&self, status: u16) -> String {
        let (actual, detail) = self.refusal();
        assert_eq!(actual, status, "{detail}");
        detail
    }
}

pub(crate) fn header_of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("no header {name}: {headers:?}")).to_str().unwrap()
}

/// All records with the header, read by an independent reader that insists on equal lengths.
pub(crate) fn csv_records(csv: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv);
    let records = reader.records().map(|record| {
        let record = record.unwrap();
        record.iter().map(String::from).collect()
    });
    records.collect()
}
