/* A token found by its URI, and a session with it. */
#include "adapters/token_pkcs11/token_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/common_loader/loader.h"

enum { SLOTS_MAX = 64 };

smq_err smq_token_because(struct smq_token_why why, smq_err err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(why.text, why.len, format, args);
	va_end(args);
	return err;
}

smq_err smq_token_failed(const struct smq_token *t, CK_RV rv, const char *what, struct smq_token_why why)
{
	static const struct {
		CK_RV rv;
		smq_err err;
		const char *text;
	} rows[] = {
		{ CKR_PIN_INCORRECT, SMQ_ERR_OPEN, "the PIN is wrong" },
		{ CKR_PIN_INVALID, SMQ_ERR_OPEN, "the PIN is wrong" },
		{ CKR_PIN_LEN_RANGE, SMQ_ERR_OPEN, "the PIN is wrong" },
		{ CKR_PIN_EXPIRED, SMQ_ERR_OPEN, "the PIN has expired" },
		{ CKR_PIN_LOCKED, SMQ_ERR_LOCKED, "its PIN is locked after too many wrong ones" },
		{ CKR_USER_PIN_NOT_INITIALIZED, SMQ_ERR_STATE, "it has no user PIN yet" },
		{ CKR_TOKEN_NOT_PRESENT, SMQ_ERR_NOT_FOUND, "it was taken out" },
		{ CKR_DEVICE_REMOVED, SMQ_ERR_NOT_FOUND, "it was taken out" },
		{ CKR_MECHANISM_INVALID, SMQ_ERR_UNSUPPORTED, "it cannot do this" },
		{ CKR_CURVE_NOT_SUPPORTED, SMQ_ERR_UNSUPPORTED, "it does not know this curve" },
		{ CKR_TOKEN_WRITE_PROTECTED, SMQ_ERR_PERMISSION, "it is write-protected" },
		{ CKR_SESSION_READ_ONLY, SMQ_ERR_PERMISSION, "it is write-protected" },
		{ CKR_DEVICE_MEMORY, SMQ_ERR_DISK_FULL, "it is full" },
		{ CKR_KEY_FUNCTION_NOT_PERMITTED, SMQ_ERR_USAGE, "the key is not for this" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].rv == rv)
			return smq_token_because(why, rows[i].err, "token '%s' did not %s: %s", t->label, what,
						 rows[i].text);
	}
	return smq_token_because(why, SMQ_ERR_CRYPTO, "token '%s' did not %s: %s", t->label, what,
				 smq_p11_kit.strerror(rv));
}

void smq_token_text(const unsigned char *padded, size_t len, char *ret_text)
{
	while (len > 0 && (padded[len - 1] == ' ' || padded[len - 1] == 0))
		len--;
	memcpy(ret_text, padded, len);
	ret_text[len] = 0;
}

/* ---- the URI ---- */

smq_err smq_token_uri_parse(const char *text, P11KitUri **ret_uri, struct smq_token_why why)
{
	smq_err err = smq_p11_kit_load();
	if (err != SMQ_OK)
		return smq_token_because(why, err, "%s", smq_library_text(err));
	P11KitUri *uri = smq_p11_kit.uri_new();
	int result = uri ? smq_p11_kit.uri_parse(text, P11_KIT_URI_FOR_ANY, uri) : P11_KIT_URI_NO_MEMORY;
	if (result == P11_KIT_URI_OK && !smq_p11_kit.uri_get_pin_value(uri) && !smq_p11_kit.uri_any_unrecognized(uri)) {
		*ret_uri = uri;
		return SMQ_OK;
	}
	bool pin = result == P11_KIT_URI_OK && smq_p11_kit.uri_get_pin_value(uri);
	smq_p11_kit.uri_free(uri);
	if (pin)
		return smq_token_because(why, SMQ_ERR_USAGE,
					 "a PIN in a URI can be read by others: put it into a file, mode 0600");
	return smq_token_because(why, SMQ_ERR_USAGE,
				 "not a PKCS#11 URI (RFC 7512) that can be followed, as in pkcs11:token=plant");
}

/* RFC 7512, 2.4: a path, or a file URI without a host. */
static smq_err read_pin_source(P11KitUri *uri, struct smq_token_uri *ret, struct smq_token_why why)
{
	const char *source = smq_p11_kit.uri_get_pin_source(uri);
	if (!source)
		return SMQ_OK;
	if (strncmp(source, "file:", 5) == 0)
		source += strncmp(source + 5, "//", 2) == 0 ? 7 : 5;
	if (source[0] != '/' || strlen(source) >= sizeof(ret->pin_source))
		return smq_token_because(why, SMQ_ERR_USAGE, "pin-source takes a file's whole path");
	(void)snprintf(ret->pin_source, sizeof(ret->pin_source), "%s", source);
	return SMQ_OK;
}

smq_err smq_token_uri_read(const char *text, struct smq_token_uri *ret_uri, char *ret_why, size_t why_len)
{
	struct smq_token_why why = { ret_why, why_len };
	struct smq_token_uri got = { .object = false };
	P11KitUri *uri = NULL;
	smq_err err = smq_token_uri_parse(text, &uri, why);
	if (err != SMQ_OK)
		return err;
	got.object = smq_p11_kit.uri_get_attribute(uri, CKA_LABEL) || smq_p11_kit.uri_get_attribute(uri, CKA_ID);
	err = read_pin_source(uri, &got, why);
	smq_p11_kit.uri_free(uri);
	if (err == SMQ_OK)
		*ret_uri = got;
	return err;
}

smq_err smq_token_uri_of_token(const char *text, char ret_uri[SMQ_TOKEN_URI_MAX], char *ret_why, size_t why_len)
{
	struct smq_token_why why = { ret_why, why_len };
	P11KitUri *uri = NULL;
	char *formatted = NULL;
	smq_err err = smq_token_uri_parse(text, &uri, why);
	if (err != SMQ_OK)
		return err;
	smq_p11_kit.uri_clear_attributes(uri);
	err =
	    smq_p11_kit.uri_format(uri, P11_KIT_URI_FOR_ANY, &formatted) == P11_KIT_URI_OK ? SMQ_OK : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK && snprintf(ret_uri, SMQ_TOKEN_URI_MAX, "%s", formatted) >= SMQ_TOKEN_URI_MAX)
		err = smq_token_because(why, SMQ_ERR_TOO_LARGE, "the URI of the key is too long");
	free(formatted);
	smq_p11_kit.uri_free(uri);
	return err;
}

/* ---- modules ---- */

static smq_err load(struct smq_token *t, struct smq_token_why why)
{
	const char *path = smq_p11_kit.uri_get_module_path(t->uri);
	if (!path) {
		t->modules = smq_p11_kit.modules_load_and_initialize(0);
		return t->modules ? SMQ_OK
				  : smq_token_because(why, SMQ_ERR_NOT_FOUND, "no PKCS#11 module can be loaded: %s",
						      smq_p11_kit.message());
	}
	t->only = smq_p11_kit.module_load(path, 0);
	if (!t->only)
		return smq_token_because(why, SMQ_ERR_NOT_FOUND, "%s: no PKCS#11 module there", path);
	CK_RV rv = smq_p11_kit.module_initialize(t->only);
	if (rv == CKR_OK)
		return SMQ_OK;
	smq_p11_kit.module_release(t->only);
	t->only = NULL;
	return smq_token_because(why, SMQ_ERR_NOT_FOUND, "%s: this PKCS#11 module does not start: %s", path,
				 smq_p11_kit.strerror(rv));
}

static void unload(struct smq_token *t)
{
	if (t->only) {
		(void)smq_p11_kit.module_finalize(t->only);
		smq_p11_kit.module_release(t->only);
	}
	if (t->modules)
		smq_p11_kit.modules_finalize_and_release(t->modules);
}

/* ---- the token ---- */

struct place {
	CK_FUNCTION_LIST *f;
	CK_SLOT_ID slot;
	char label[33];
	size_t count;
};

static bool module_meant(const struct smq_token *t, CK_FUNCTION_LIST *f)
{
	const char *want = smq_p11_kit.uri_get_module_name(t->uri);
	CK_INFO info;
	char *name = want && !t->only ? smq_p11_kit.module_get_name(f) : NULL;
	bool other = want && !t->only && (!name || strcmp(name, want) != 0);
	free(name);
	return !other && f->C_GetInfo(&info) == CKR_OK && smq_p11_kit.uri_match_module_info(t->uri, &info);
}

static void look_in(const struct smq_token *t, CK_FUNCTION_LIST *f, struct place *p)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG count = SLOTS_MAX;
	CK_SLOT_ID wanted = smq_p11_kit.uri_get_slot_id(t->uri);
	if (!module_meant(t, f) || f->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK)
		return;
	for (CK_ULONG i = 0; i < count; i++) {
		CK_TOKEN_INFO info;
		if (f->C_GetTokenInfo(slots[i], &info) != CKR_OK || !(info.flags & CKF_TOKEN_INITIALIZED) ||
		    !smq_p11_kit.uri_match_token_info(t->uri, &info) ||
		    (wanted != (CK_SLOT_ID)-1 && wanted != slots[i]))
			continue;
		p->f = f;
		p->slot = slots[i];
		smq_token_text(info.label, sizeof(info.label), p->label);
		p->count++;
	}
}

static smq_err find(struct smq_token *t, const char *uri, struct place *ret, struct smq_token_why why)
{
	struct place p = { .count = 0 };
	if (t->only)
		look_in(t, t->only, &p);
	for (size_t i = 0; t->modules && t->modules[i]; i++)
		look_in(t, t->modules[i], &p);
	if (p.count == 0)
		return smq_token_because(why, SMQ_ERR_NOT_FOUND, "no token here that '%s' names", uri);
	if (p.count > 1)
		return smq_token_because(why, SMQ_ERR_USAGE, "%zu tokens here that '%s' names: say which", p.count,
					 uri);
	*ret = p;
	return SMQ_OK;
}

static smq_err log_in(struct smq_token *t, const struct place *p, smq_span pin, struct smq_token_why why)
{
	memcpy(t->label, p->label, sizeof(t->label));
	t->f = p->f;
	CK_RV rv = t->f->C_OpenSession(p->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &t->session);
	if (rv != CKR_OK) {
		t->f = NULL;
		return smq_token_failed(t, rv, "open", why);
	}
	/* the library does not write to it, though it says nothing of that */
	unsigned char *text = (unsigned char *)(uintptr_t)pin.p;
	rv = t->f->C_Login(t->session, CKU_USER, text, pin.len);
	return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? SMQ_OK : smq_token_failed(t, rv, "let us in", why);
}

smq_err smq_token_open(const char *uri, smq_span pin, struct smq_token **ret_token, char *ret_why, size_t why_len)
{
	struct smq_token_why why = { ret_why, why_len };
	struct smq_token *t = calloc(1, sizeof(*t));
	struct place place = { .count = 0 };
	if (!t)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = smq_token_uri_parse(uri, &t->uri, why);
	if (err != SMQ_OK) {
		free(t);
		return err;
	}
	smq_p11_kit.be_quiet(); /* a module of somebody else's that is broken is not our user's affair */
	err = load(t, why);
	if (err == SMQ_OK)
		err = find(t, uri, &place, why);
	if (err == SMQ_OK)
		err = log_in(t, &place, pin, why);
	if (err == SMQ_OK)
		*ret_token = t;
	else
		smq_token_close(t);
	return err;
}

void smq_token_close(struct smq_token *t)
{
	if (!t)
		return;
	if (t->f)
		(void)t->f->C_CloseSession(t->session);
	unload(t);
	smq_p11_kit.uri_free(t->uri);
	free(t);
}
