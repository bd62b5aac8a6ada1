-- Customer care. The same names stand in the PostgreSQL file.

-- A case. Everything that changes about it happens under the lock of its row.
CREATE TABLE care_case (
    case_id           TEXT NOT NULL PRIMARY KEY,
    partner_id        TEXT NOT NULL,
    shopper_ref       TEXT NOT NULL CHECK (shopper_ref <> ''),
    category          TEXT NOT NULL CHECK (category IN
                      ('DELIVERY', 'RETURN', 'REFUND', 'PAYMENT', 'QUALITY', 'COUNTERFEIT', 'SAFETY', 'ROOM', 'OTHER')),
    priority          TEXT NOT NULL CHECK (priority IN ('LOW', 'NORMAL', 'HIGH', 'URGENT')),
    level             TEXT NOT NULL CHECK (level IN ('ISSUE', 'GRIEVANCE', 'DISPUTE')),
    state             TEXT NOT NULL CHECK (state IN
                      ('OPEN', 'WAITING_RETAILER', 'WAITING_PARTNER', 'WAITING_SHOPPER', 'WAITING_ARBITER', 'RESOLVED',
                       'CLOSED')),
    opened_by         TEXT NOT NULL CHECK (opened_by IN ('SHOPPER', 'PARTNER', 'RETAILER')),
    -- What it names; '' where it names nothing of the kind.
    order_id          TEXT NOT NULL,
    order_line_id     TEXT NOT NULL,
    return_id         TEXT NOT NULL,
    aftersale_id      TEXT NOT NULL,
    shipment_id       TEXT NOT NULL,
    listing_id        TEXT NOT NULL,
    product_id        TEXT NOT NULL,
    room_id           TEXT NOT NULL,
    -- '' when it is under none; which of its answers it has got.
    topic_id          TEXT NOT NULL,
    topic_answer      INTEGER NOT NULL CHECK (topic_answer >= 0),
    -- '' when it is nobody's.
    agent             TEXT NOT NULL,
    response_due      INTEGER NOT NULL,
    response_time     INTEGER,
    resolution_due    INTEGER NOT NULL,
    wait_until        INTEGER,
    -- Its place in the queue, and when the next target is missed; absent when it is not open, or none is armed.
    queue_time        INTEGER,
    breach_time       INTEGER,
    has_arbiter       INTEGER NOT NULL CHECK (has_arbiter IN (0, 1)),
    -- '' until an arbiter is named, and for one without a token.
    arbiter_subject   TEXT NOT NULL,
    -- '' until decided.
    ruling            TEXT NOT NULL CHECK (ruling IN ('', 'FOR_SHOPPER', 'IN_PART', 'FOR_RETAILER')),
    outcome_count     INTEGER NOT NULL CHECK (outcome_count >= 0),
    reopen_count      INTEGER NOT NULL CHECK (reopen_count >= 0),
    breach_count      INTEGER NOT NULL CHECK (breach_count >= 0),
    message_count     INTEGER NOT NULL CHECK (message_count > 0),
    shown_count       INTEGER NOT NULL CHECK (shown_count >= 0 AND shown_count <= message_count),
    action_count      INTEGER NOT NULL CHECK (action_count > 0),
    create_time       INTEGER NOT NULL,
    resolve_time      INTEGER,
    reopen_until      INTEGER,
    close_time        INTEGER,
    -- Whether its words are still kept.
    has_words         INTEGER NOT NULL CHECK (has_words IN (0, 1)),
    version           INTEGER NOT NULL CHECK (version > 0),
    CONSTRAINT case_is_resolved_at_a_time CHECK
        ((state IN ('RESOLVED', 'CLOSED')) = (resolve_time IS NOT NULL)
         AND (resolve_time IS NULL) = (reopen_until IS NULL)),
    CONSTRAINT case_is_resolved_with_an_outcome CHECK (resolve_time IS NULL OR outcome_count > 0),
    CONSTRAINT case_is_closed_at_a_time CHECK ((state = 'CLOSED') = (close_time IS NOT NULL)),
    CONSTRAINT case_waits_until_a_time CHECK
        ((state IN ('WAITING_PARTNER', 'WAITING_SHOPPER')) = (wait_until IS NOT NULL)),
    CONSTRAINT case_is_in_the_queue_while_it_is_open CHECK ((queue_time IS NULL) = (resolve_time IS NOT NULL)),
    CONSTRAINT case_misses_targets_while_it_is_open CHECK (breach_time IS NULL OR resolve_time IS NULL),
    CONSTRAINT dispute_has_an_arbiter CHECK
        ((level = 'DISPUTE' OR NOT has_arbiter) AND (has_arbiter OR (arbiter_subject = '' AND ruling = ''))
         AND (state <> 'WAITING_ARBITER' OR (has_arbiter AND ruling = ''))),
    CONSTRAINT arbiter_is_not_the_agent CHECK (arbiter_subject = '' OR arbiter_subject <> agent),
    CONSTRAINT dispute_is_resolved_by_a_decision CHECK (level <> 'DISPUTE' OR resolve_time IS NULL OR ruling <> '')
) STRICT;
CREATE INDEX care_case_by_partner ON care_case (partner_id, case_id);
CREATE INDEX care_case_by_shopper ON care_case (partner_id, shopper_ref, case_id);
CREATE INDEX care_case_by_order ON care_case (order_id, case_id) WHERE order_id <> '';
CREATE INDEX care_case_by_topic ON care_case (topic_id, case_id) WHERE topic_id <> '';
CREATE INDEX care_case_by_state ON care_case (state, case_id);
CREATE INDEX care_case_queue ON care_case (queue_time, case_id) WHERE agent = '' AND state IN ('OPEN', 'WAITING_RETAILER');
CREATE INDEX care_case_by_agent ON care_case (agent, queue_time, case_id) WHERE queue_time IS NOT NULL;
CREATE INDEX care_case_breaching ON care_case (breach_time, case_id) WHERE breach_time IS NOT NULL;
CREATE INDEX care_case_with_words ON care_case (close_time, case_id) WHERE has_words;

-- Who decides a dispute, and what was decided.
CREATE TABLE care_arbiter (
    case_id            TEXT NOT NULL PRIMARY KEY REFERENCES care_case (case_id),
    display_name       TEXT NOT NULL CHECK (display_name <> ''),
    organisation       TEXT NOT NULL CHECK (organisation <> ''),
    subject            TEXT NOT NULL,
    -- '' until decided, and where there is no document.
    ruling             TEXT NOT NULL CHECK (ruling IN ('', 'FOR_SHOPPER', 'IN_PART', 'FOR_RETAILER')),
    reason             TEXT NOT NULL,
    document_reference TEXT NOT NULL,
    document_digest    TEXT NOT NULL,
    document_type      TEXT NOT NULL,
    document_size      INTEGER NOT NULL CHECK (document_size >= 0),
    decide_time        INTEGER,
    CONSTRAINT decision_has_a_time CHECK ((ruling = '') = (decide_time IS NULL)),
    CONSTRAINT decision_of_an_outsider_has_a_document CHECK
        (ruling = '' OR subject <> '' OR document_reference <> '')
) STRICT, WITHOUT ROWID;

-- What is to happen to a case, and when. A timer that fires is gone in the same transaction.
CREATE TABLE care_timer (
    case_id  TEXT NOT NULL REFERENCES care_case (case_id),
    kind     TEXT NOT NULL CHECK (kind IN ('RESPONSE', 'RESOLUTION', 'WAIT', 'CLOSE')),
    due_time INTEGER NOT NULL,
    PRIMARY KEY (case_id, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX care_timer_due ON care_timer (due_time, case_id);

-- What was said. The text is personal data, read by ListMessages alone, and emptied some time after the end.
CREATE TABLE care_message (
    case_id        TEXT NOT NULL REFERENCES care_case (case_id),
    message_number INTEGER NOT NULL CHECK (message_number > 0),
    message_id     TEXT NOT NULL UNIQUE,
    author         TEXT NOT NULL CHECK (author IN ('SHOPPER', 'PARTNER', 'RETAILER')),
    agent          TEXT NOT NULL,
    visibility     TEXT NOT NULL CHECK (visibility IN ('SHOPPER_AND_ALL', 'PARTNER_AND_RETAILER', 'RETAILER_ONLY')),
    body           TEXT NOT NULL,
    is_forgotten   INTEGER NOT NULL CHECK (is_forgotten IN (0, 1)),
    create_time    INTEGER NOT NULL,
    PRIMARY KEY (case_id, message_number),
    CONSTRAINT message_is_seen_by_its_author CHECK
        (author = 'RETAILER' OR visibility = 'SHOPPER_AND_ALL' OR (author = 'PARTNER' AND visibility <> 'RETAILER_ONLY')),
    CONSTRAINT message_says_something CHECK ((body = '') = is_forgotten)
) STRICT, WITHOUT ROWID;

-- What shows what was said.
CREATE TABLE care_attachment (
    case_id              TEXT NOT NULL,
    message_number       INTEGER NOT NULL,
    attachment_no        INTEGER NOT NULL CHECK (attachment_no >= 0),
    attachment_reference TEXT NOT NULL,
    digest               TEXT NOT NULL,
    media_type           TEXT NOT NULL,
    size_bytes           INTEGER NOT NULL CHECK (size_bytes > 0),
    PRIMARY KEY (case_id, message_number, attachment_no),
    FOREIGN KEY (case_id, message_number) REFERENCES care_message (case_id, message_number)
) STRICT, WITHOUT ROWID;

-- What happened. Only ever added to.
CREATE TABLE care_action (
    case_id       TEXT NOT NULL REFERENCES care_case (case_id),
    action_number INTEGER NOT NULL CHECK (action_number > 0),
    party         TEXT NOT NULL CHECK (party IN ('SHOPPER', 'PARTNER', 'RETAILER', 'ARBITER', 'SYSTEM')),
    subject       TEXT NOT NULL,
    change        TEXT NOT NULL CHECK (change IN
                  ('OPENED', 'MESSAGE', 'ASSIGNED', 'ESCALATED', 'ARBITER_NAMED', 'DECIDED', 'RESOLVED', 'REOPENED',
                   'CLOSED', 'BREACHED', 'GROUPED', 'UNANSWERED')),
    from_state    TEXT NOT NULL,
    to_state      TEXT NOT NULL CHECK (to_state <> ''),
    from_level    TEXT NOT NULL,
    to_level      TEXT NOT NULL CHECK (to_level <> ''),
    reason        TEXT NOT NULL,
    message_id    TEXT NOT NULL,
    target        TEXT NOT NULL CHECK (target IN ('', 'FIRST_RESPONSE', 'RESOLUTION', 'PARTNER_ANSWER')),
    is_private    INTEGER NOT NULL CHECK (is_private IN (0, 1)),
    create_time   INTEGER NOT NULL,
    PRIMARY KEY (case_id, action_number),
    CONSTRAINT breach_names_its_target CHECK ((change = 'BREACHED') = (target <> ''))
) STRICT, WITHOUT ROWID;

-- What came out of a case.
CREATE TABLE care_outcome (
    case_id       TEXT NOT NULL REFERENCES care_case (case_id),
    outcome_no    INTEGER NOT NULL CHECK (outcome_no >= 0),
    kind          TEXT NOT NULL CHECK (kind IN
                  ('ANSWERED', 'DECLINED', 'REFUND', 'RETURN', 'AFTERSALE', 'SHIPMENT', 'COMPENSATION', 'UNANSWERED')),
    what          TEXT NOT NULL,
    currency_code TEXT NOT NULL,
    minor_units   INTEGER NOT NULL CHECK (minor_units >= 0),
    link_time     INTEGER NOT NULL,
    PRIMARY KEY (case_id, outcome_no),
    CONSTRAINT outcome_names_what_was_done CHECK ((what = '') = (kind IN ('ANSWERED', 'DECLINED', 'UNANSWERED')))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX care_outcome_once ON care_outcome (case_id, what) WHERE what <> '';

-- What a decision asks for.
CREATE TABLE care_required (
    case_id       TEXT NOT NULL REFERENCES care_case (case_id),
    required_no   INTEGER NOT NULL CHECK (required_no >= 0),
    kind          TEXT NOT NULL CHECK (kind IN
                  ('ANSWERED', 'DECLINED', 'REFUND', 'RETURN', 'AFTERSALE', 'SHIPMENT', 'COMPENSATION')),
    -- '' for any amount.
    currency_code TEXT NOT NULL,
    minor_units   INTEGER NOT NULL CHECK (minor_units >= 0),
    PRIMARY KEY (case_id, required_no)
) STRICT, WITHOUT ROWID;

-- One incident behind many cases.
CREATE TABLE care_topic (
    topic_id     TEXT NOT NULL PRIMARY KEY,
    title        TEXT NOT NULL CHECK (title <> ''),
    product_id   TEXT NOT NULL,
    room_id      TEXT NOT NULL,
    answer       TEXT NOT NULL,
    answered_by  TEXT NOT NULL,
    answer_count INTEGER NOT NULL CHECK (answer_count >= 0),
    -- Whether cases may wait for the latest answer.
    is_pending   INTEGER NOT NULL CHECK (is_pending IN (0, 1)),
    create_time  INTEGER NOT NULL,
    version      INTEGER NOT NULL CHECK (version > 0),
    CONSTRAINT topic_answers_are_counted CHECK ((answer = '') = (answer_count = 0))
) STRICT;
CREATE INDEX care_topic_by_product ON care_topic (product_id, topic_id) WHERE product_id <> '';
CREATE INDEX care_topic_pending ON care_topic (topic_id) WHERE is_pending;

-- The one queue: whoever takes a case from it holds its row, so that no two ever see the same head.
CREATE TABLE care_queue (
    queue_id TEXT NOT NULL PRIMARY KEY,
    turn     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO care_queue (queue_id, turn) VALUES ('care', 0);
