/* command_wire: commands, acknowledgements and their topics on the wire: what is taken, and what is not. */
#include "cmocka_all.h"

#include "base/table.h"
#include "wire/cbor.h"
#include "wire/command.h"

#define PREFIX "sealmq/plant"

static uint8_t room_bytes[SMQ_COMMAND_MAX + 128], text_bytes[SMQ_COMMAND_MAX];
static const smq_mspan room = { room_bytes, sizeof(room_bytes) };

static smq_span x(size_t len)
{
	memset(text_bytes, 'x', sizeof(text_bytes));
	return smq_span_of(text_bytes, len);
}

static struct smq_command_document usual(void)
{
	struct smq_command_document c = { .id = { 1, 2 },
					  .to = smq_span_str("fridge-07"),
					  .issued_ms = 1000,
					  .expires_ms = 1001,
					  .body = SMQ_BODY_SET,
					  .setting_count = 2,
					  .settings = { { smq_span_str("RATE"), smq_span_str("") },
							{ smq_span_str("LED"), smq_span_str("true") } } };
	return c;
}

static struct smq_command_document alert(void)
{
	struct smq_command_document c = usual();
	c.body = SMQ_BODY_ALERT;
	c.setting_count = 0;
	c.severity = smq_span_str("info");
	c.text = smq_span_str("the door is open");
	return c;
}

/* Each row spoils one field of a good one, or takes it to its limit. */
static smq_err changed(int row)
{
	struct smq_command_document c = row > 20 ? alert() : usual(), back;
	size_t len = 77;
#define ROW(n, change)                                                                                                 \
	case n:                                                                                                        \
		change;                                                                                                \
		break
	switch (row) {
		ROW(1, c.to = smq_span_str(""));
		ROW(2, c.to = x(SMQ_MEMBER_NAME_MAX));
		ROW(3, c.to = smq_span_str("a/b"));
		ROW(4, c.to = x(SMQ_COMMAND_MAX));
		ROW(5, c.expires_ms = c.issued_ms);
		ROW(6, c.expires_ms = c.issued_ms - 1);
		ROW(7, c.setting_count = 0);
		ROW(8, c.setting_count = SMQ_COMMAND_SETTINGS_MAX + 1);
		ROW(9, c.settings[1].name = c.settings[0].name);
		ROW(10, c.settings[1].name = smq_span_str("a/b"));
		ROW(11, c.settings[0].name = smq_span_str(""));
		ROW(12, c.settings[0].name = x(SMQ_COMMAND_NAME_MAX));
		ROW(13, c.settings[0].name = x(SMQ_COMMAND_NAME_MAX + 1));
		ROW(14, c.settings[1].value = x(SMQ_COMMAND_VALUE_MAX));
		ROW(15, c.settings[1].value = x(SMQ_COMMAND_VALUE_MAX + 1));
		ROW(16, c.issued_ms = -1);
		ROW(21, c.severity = x(SMQ_COMMAND_WORD_MAX));
		ROW(22, c.severity = x(SMQ_COMMAND_WORD_MAX + 1));
		ROW(23, c.severity = smq_span_str(""));
		ROW(24, c.text = smq_span_str(""));
		ROW(25, c.text = x(SMQ_COMMAND_TEXT_MAX));
		ROW(26, c.text = x(SMQ_COMMAND_TEXT_MAX + 1));
	default:
		fail_msg("no row %d", row);
	}
#undef ROW
	smq_err err = smq_command_encode(&c, room, &len);
	if (err != SMQ_OK) {
		assert_int_equal(len, 77);
		return err;
	}
	assert_int_equal(smq_command_decode(smq_span_of(room.p, len), &back), SMQ_OK);
	assert_int_equal(back.setting_count, c.setting_count);
	assert_true(smq_span_equal(back.to, c.to) && smq_span_equal(back.text, c.text));
	return SMQ_OK;
}

static void limits(void **state)
{
	static const struct {
		int row;
		smq_err err;
	} rows[] = {
		{ 1, SMQ_OK },
		{ 2, SMQ_OK },
		{ 3, SMQ_ERR_MALFORMED },
		{ 4, SMQ_ERR_TOO_LARGE },
		{ 5, SMQ_ERR_MALFORMED },
		{ 6, SMQ_ERR_MALFORMED },
		{ 7, SMQ_ERR_MALFORMED },
		{ 8, SMQ_ERR_FULL },
		{ 9, SMQ_ERR_NAME },
		{ 10, SMQ_ERR_NAME },
		{ 11, SMQ_ERR_TOO_LARGE },
		{ 12, SMQ_OK },
		{ 13, SMQ_ERR_TOO_LARGE },
		{ 14, SMQ_OK },
		{ 15, SMQ_ERR_TOO_LARGE },
		{ 16, SMQ_ERR_USAGE },
		{ 21, SMQ_OK },
		{ 22, SMQ_ERR_TOO_LARGE },
		{ 23, SMQ_ERR_TOO_LARGE },
		{ 24, SMQ_OK },
		{ 25, SMQ_OK },
		{ 26, SMQ_ERR_TOO_LARGE },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_err err = changed(rows[i].row);
		if (err != rows[i].err)
			fail_msg("row %d: %s", rows[i].row, smq_err_name(err));
	}
}

static void nothing_missing_and_nothing_behind(void **state)
{
	struct smq_command_document both[] = { usual(), alert() }, back;
	struct smq_ack_document ack = { { 9 }, smq_span_str("applied"), smq_span_str("") }, back_ack;
	size_t len = 0;
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(both); i++) {
		assert_int_equal(smq_command_encode(&both[i], room, &len), SMQ_OK);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_not_equal(smq_command_decode(smq_span_of(room.p, cut), &back), SMQ_OK);
		assert_int_not_equal(smq_command_decode(smq_span_of(room.p, len + 1), &back), SMQ_OK);
		assert_int_equal(smq_command_encode(&both[i], smq_mspan_of(room.p, len - 1), &len), SMQ_ERR_NO_ROOM);
	}
	assert_int_equal(smq_command_decode(smq_span_of(room.p, SMQ_COMMAND_MAX + 1), &back), SMQ_ERR_TOO_LARGE);
	assert_int_equal(smq_ack_encode(&ack, room, &len), SMQ_OK);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_ack_decode(smq_span_of(room.p, cut), &back_ack), SMQ_OK);
	assert_int_equal(smq_ack_decode(smq_span_of(room.p, len), &back_ack), SMQ_OK);
	assert_true(smq_span_equal(back_ack.result, ack.result));
}

/* A command that encoders do not write: what follows its head, put by hand. */
static smq_err by_hand(unsigned fields, const char *magic, unsigned version, const char *body, size_t body_len)
{
	struct smq_writer w = smq_writer_on(room);
	struct smq_command_document back;
	uint8_t id[SMQ_COMMAND_ID_LEN] = { 0 };
	smq_cbor_put_array(&w, fields);
	smq_cbor_put_text(&w, smq_span_str(magic));
	smq_cbor_put_uint(&w, version);
	smq_cbor_put_bytes(&w, smq_span_of(id, sizeof(id)));
	smq_cbor_put_text(&w, smq_span_str(""));
	smq_cbor_put_uint(&w, 1);
	smq_cbor_put_uint(&w, 2);
	smq_write(&w, smq_span_of((const uint8_t *)body, body_len));
	assert_int_equal(w.err, SMQ_OK);
	return smq_command_decode(smq_writer_span(&w), &back);
}

static void what_no_encoder_writes(void **state)
{
#define BODY(text) text, sizeof(text) - 1
	static const struct {
		unsigned fields;
		const char *magic;
		unsigned version;
		const char *body;
		size_t len;
		smq_err err;
	} rows[] = {
		/* 1 */ { 7, "sealmq command", 1, BODY("\x82\x01\x81\x82\x61\x61\x60"), SMQ_OK },
		/* 2 */ { 6, "sealmq command", 1, BODY("\x82\x01\x81\x82\x61\x61\x60"), SMQ_ERR_MALFORMED },
		/* 3 */ { 7, "sealmq commanD", 1, BODY("\x82\x01\x81\x82\x61\x61\x60"), SMQ_ERR_MALFORMED },
		/* 4 */ { 7, "sealmq command", 2, BODY("\x82\x01\x81\x82\x61\x61\x60"), SMQ_ERR_VERSION },
		/* 5: an item too many */
		{ 7, "sealmq command", 1, BODY("\x83\x01\x81\x82\x61\x61\x60"), SMQ_ERR_MALFORMED },
		/* 6: neither of the two */
		{ 7, "sealmq command", 1, BODY("\x82\x03\x81\x82\x61\x61\x60"), SMQ_ERR_MALFORMED },
		/* 7 */ { 7, "sealmq command", 1, BODY("\x82\x00\x81\x82\x61\x61\x60"), SMQ_ERR_MALFORMED },
		/* 8: three in a setting */
		{ 7, "sealmq command", 1, BODY("\x82\x01\x81\x83\x61\x61\x60"), SMQ_ERR_MALFORMED },
		/* 9: an alert of two */ { 7, "sealmq command", 1, BODY("\x82\x02\x61\x61\x60"), SMQ_ERR_MALFORMED },
		/* 10 */ { 7, "sealmq command", 1, BODY("\x83\x02\x61\x61\x60"), SMQ_OK },
		/* 11: a name that is a number */
		{ 7, "sealmq command", 1, BODY("\x82\x01\x81\x82\x01\x60"), SMQ_ERR_MALFORMED },
	};
#undef BODY
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_err err = by_hand(rows[i].fields, rows[i].magic, rows[i].version, rows[i].body, rows[i].len);
		if (err != rows[i].err)
			fail_msg("row %zu: %s", i + 1, smq_err_name(err));
	}
}

static void topics_are_read(void **state)
{
	static const struct {
		const char *topic;
		enum smq_command_topic kind;
		const char *group, *name;
	} rows[] = {
		/* 1 */ { PREFIX "/command/g/to/dev", SMQ_TOPIC_TO, "g", "dev" },
		/* 2 */ { PREFIX "/command/g/all", SMQ_TOPIC_ALL, "g", "" },
		/* 3 */ { PREFIX "/command/g/ack/dev", SMQ_TOPIC_ACK, "g", "dev" },
		/* 4 */ { PREFIX "/command/g/to", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 5 */ { PREFIX "/command/g/to/dev/x", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 6 */ { PREFIX "/command/g/all/dev", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 7 */ { PREFIX "/command/g+/all", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 8 */ { PREFIX "/command//all", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 9 */ { PREFIX "/command/g/some", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 10 */ { PREFIX "/command/g", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 11 */ { PREFIX "/command", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 12 */ { PREFIX "/commands/g/all", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 13 */ { PREFIX "/", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 14 */ { PREFIX, SMQ_TOPIC_OTHER, NULL, NULL },
		/* 15 */ { "sealmq/plans/command/g/all", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 16 */ { PREFIX "-2/command/g/all", SMQ_TOPIC_OTHER, NULL, NULL },
		/* 17 */ { "", SMQ_TOPIC_OTHER, NULL, NULL },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_span topic = smq_span_str(rows[i].topic), group = { NULL, 0 }, name = { NULL, 0 };
		if (smq_command_topic_read(PREFIX, topic, &group, &name) != rows[i].kind)
			fail_msg("row %zu", i + 1);
		assert_int_equal(smq_command_topic_read(PREFIX, topic, NULL, NULL), rows[i].kind);
		bool ours = rows[i].kind != SMQ_TOPIC_OTHER;
		assert_int_equal(smq_command_topic_is_of(PREFIX, smq_span_str("g"), topic), ours);
		assert_false(smq_command_topic_is_of(PREFIX, smq_span_str("h"), topic));
		if (ours)
			assert_true(smq_span_equal(group, smq_span_str(rows[i].group)) &&
				    smq_span_equal(name, smq_span_str(rows[i].name)));
	}
}

static void topics_are_written(void **state)
{
	char topic[SMQ_COMMAND_TOPIC_MAX], prefix[SMQ_COMMAND_TOPIC_MAX];
	/* the longest prefix with which "/command/g/all" has room, and the end of the text */
	const size_t longest = SMQ_COMMAND_TOPIC_MAX - sizeof("/command/g/all");
	(void)state;
	assert_int_equal(smq_command_topic_write(PREFIX, "g", SMQ_TOPIC_TO, "dev", topic), SMQ_OK);
	assert_string_equal(topic, PREFIX "/command/g/to/dev");
	assert_int_equal(smq_command_topic_write(PREFIX, "g", SMQ_TOPIC_ALL, NULL, topic), SMQ_OK);
	assert_string_equal(topic, PREFIX "/command/g/all");
	memset(prefix, 'p', sizeof(prefix));
	prefix[longest] = 0;
	assert_int_equal(smq_command_topic_write(prefix, "g", SMQ_TOPIC_ALL, NULL, topic), SMQ_OK);
	assert_int_equal(strlen(topic), SMQ_COMMAND_TOPIC_MAX - 1);
	prefix[longest] = 'p';
	prefix[longest + 1] = 0;
	assert_int_equal(smq_command_topic_write(prefix, "g", SMQ_TOPIC_ALL, NULL, topic), SMQ_ERR_TOPIC);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(limits),
					    cmocka_unit_test(nothing_missing_and_nothing_behind),
					    cmocka_unit_test(what_no_encoder_writes), cmocka_unit_test(topics_are_read),
					    cmocka_unit_test(topics_are_written) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
