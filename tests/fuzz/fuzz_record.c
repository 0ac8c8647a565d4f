/* Records that a recorder is sent: whatever they are, the answer is readings within the declared bounds, or a reason.
 */
#include "fuzz.h"

#include <string.h>

#include "app/record_schema.h"

static struct smq_record_schema schema;

static struct smq_record_field *add_field(const char *name, enum smq_record_type type)
{
	struct smq_record_field *f = &schema.fields[schema.field_count++];
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->type = type;
	f->max_len = type == SMQ_RECORD_TEXT ? SMQ_RECORD_TEXT_MAX : 0;
	return f;
}

static void make_schema(void)
{
	char why[256];
	smq_record_schema_init(&schema);
	snprintf(schema.name, sizeof(schema.name), "fuzz");
	snprintf(schema.time_field, sizeof(schema.time_field), "timestamp");
	snprintf(schema.topic, sizeof(schema.topic), "plant/{sender}/#");
	add_field("timestamp", SMQ_RECORD_TEXT);
	struct smq_record_field *temp = add_field("temp", SMQ_RECORD_NUMBER);
	temp->has_min = temp->has_max = true, temp->min = -50, temp->max = 150;
	add_field("count", SMQ_RECORD_INTEGER)->optional = true;
	add_field("on", SMQ_RECORD_BOOLEAN)->optional = true;
	add_field("who", SMQ_RECORD_TEXT)->is_sender = true;
	add_field("note", SMQ_RECORD_TEXT)->optional = true;
	smq_err err = smq_record_schema_check(&schema, why, sizeof(why));
	if (err != SMQ_OK)
		fprintf(stderr, "%s\n", why);
	FUZZ_CHECK(err == SMQ_OK);
}

static int within(smq_span part, const void *whole, size_t len)
{
	const uint8_t *start = whole;
	return part.len == 0 || (part.p >= start && part.p + part.len <= start + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct smq_record_result r;
	uint8_t *room = malloc(size + 1);
	if (!schema.field_count)
		make_schema();
	if (!room)
		return 0;
	struct smq_record_input in = { "plant/fridge-07/t", "fridge-07", smq_span_of(data, size),
				       INT64_C(1795259500000) };
	smq_record_look(&schema, &in, room, &r);
	FUZZ_CHECK(memchr(r.detail, 0, sizeof(r.detail)) != NULL);
	if (!r.reason) {
		FUZZ_CHECK(r.reading_count >= 1 && r.reading_count <= SMQ_RECORD_FIELDS_MAX);
		for (size_t i = 0; i < r.reading_count; i++) {
			const struct smq_record_reading *reading = &r.readings[i];
			if (reading->is_text)
				FUZZ_CHECK(within(reading->text, data, size) || within(reading->text, room, size));
			if (smq_span_equal(reading->type, smq_span_str("temp")))
				FUZZ_CHECK(reading->value >= -50 && reading->value <= 150);
		}
		FUZZ_CHECK(in.now_ms - r.measured_ms <= schema.past_ms &&
			   r.measured_ms - in.now_ms <= schema.future_ms);
	}
	free(room);
	return 0;
}
