/* An identity being made: from what was asked for to a certificate in the log, and to a directory of it. */
#include "lib/ca_identity.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "app/roles.h"
#include "base/text.h"
#include "lib/ca_key.h"
#include "lib/ca_list.h"

/* ---- what is asked for ---- */

static bool dns_valid(const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("-._*", name[i]))
			return false;
	}
	return len > 0 && len <= 253 && name[0] != '.' && name[0] != '-';
}

static smq_err usage(const char *text) { return smq_ca_because(SMQ_ERR_USAGE, "%s", text); }

static smq_err check_hosts(const struct smq_ca_issue_options *o, unsigned roles)
{
	if (o->dns_count > SMQ_CA_HOSTS_MAX || o->ip_count > SMQ_CA_HOSTS_MAX)
		return usage("at most 15 DNS names and 15 addresses");
	if (roles == SMQ_ROLE_BROKER && o->dns_count + o->ip_count == 0)
		return usage("a broker needs the names or addresses it is reached under: --dns NAME, --ip ADDRESS");
	if (roles != SMQ_ROLE_BROKER && o->dns_count + o->ip_count > 0)
		return usage("DNS names and addresses are for --role broker");
	for (size_t i = 0; i < o->dns_count; i++) {
		if (!dns_valid(o->dns[i]))
			return smq_ca_because(SMQ_ERR_USAGE, "'%s' is no DNS name", o->dns[i]);
	}
	return SMQ_OK;
}

static smq_err check_curve(const struct smq_ca_identity *i)
{
	if (i->curve != SMQ_P256 && i->curve != SMQ_P384 && i->curve != SMQ_ED25519 && i->curve != SMQ_X25519)
		return usage("keys are of P-256, Ed25519 or X25519");
	if (i->curve == SMQ_P384 && i->roles != SMQ_ROLE_BROKER)
		return usage("P-384 is for brokers and authorities; members take P-256 or Ed25519");
	if (i->o->key_agreement && i->curve != SMQ_P256)
		return usage("only a P-256 key can sign and agree");
	if (i->roles == SMQ_ROLE_BROKER && i->curve == SMQ_X25519)
		return usage("an X25519 key cannot serve TLS; take P-256");
	return SMQ_OK;
}

static smq_err check_options(const struct smq_ca_identity *i)
{
	const struct smq_ca_issue_options *o = i->o;
	if (!i->name || !smq_name_valid(smq_span_str(i->name)))
		return smq_ca_because(SMQ_ERR_NAME, "'%s' is no name for a member: 1 to 64 of A-Z a-z 0-9 - _",
				      i->name ? i->name : "");
	if ((i->roles & SMQ_ROLE_BROKER) && i->roles != SMQ_ROLE_BROKER)
		return usage("the role broker stands alone: a broker is no member");
	if (o->days < 0 || o->days > SMQ_CA_DAYS_MAX)
		return usage("a certificate is valid for 1 to 36500 days");
	smq_err err = check_curve(i);
	return err == SMQ_OK ? check_hosts(o, i->roles) : err;
}

smq_err smq_ca_identity_begin(struct smq_ca_identity *i, const char *dir, const struct smq_ca_issue_options *o,
			      const char *name, enum smq_curve curve)
{
	memset(i, 0, sizeof(*i));
	i->ca.log = -1;
	i->o = o;
	i->name = name;
	i->roles = o->roles ? o->roles : SMQ_ROLE_MEMBER;
	i->curve = curve ? curve : SMQ_P256;
	smq_err err = check_options(i);
	if (err == SMQ_OK)
		err = smq_path_join(dir, "members", i->members);
	if (err == SMQ_OK)
		err = smq_path_join(i->members, name, i->issued.dir);
	return err == SMQ_OK ? smq_ca_dir_open(dir, &i->ca) : err;
}

void smq_ca_identity_release(struct smq_ca_identity *i)
{
	smq_ca_dir_close(&i->ca);
	smq_ca_issuer_free(i->issuer);
	smq_pem_free(&i->key);
	smq_pem_free(&i->cert);
	smq_pem_free(&i->chain);
}

smq_err smq_ca_identity_check_new(const struct smq_ca_identity *i)
{
	struct smq_ca_record record;
	bool valid = false;
	if (i->o->reissue)
		return SMQ_OK;
	smq_err err = smq_ca_record_read(i->ca.dir, i->name, smq_ca_now_ms(), &record);
	if (err != SMQ_OK)
		return err;
	for (size_t k = 0; k < record.count; k++) {
		const struct smq_ca_issued *was = &record.issued[k];
		valid |= was->roles != 0 && was->status <= SMQ_CA_EXPIRING && strcmp(was->name, i->name) == 0;
	}
	smq_ca_record_free(&record);
	if (valid)
		return smq_ca_because(SMQ_ERR_EXISTS, "%s has a valid certificate already; --reissue makes another",
				      i->name);
	return SMQ_OK;
}

/* ---- the certificate ---- */

static void fill_usages(struct smq_cert_template *t, unsigned roles)
{
	size_t n = 0;
	if (roles != SMQ_ROLE_BROKER)
		t->usages[n++] = SMQ_OID_CLIENT_AUTH; /* the same certificate opens the broker's door */
	for (size_t k = 0; k < SMQ_ROLE_COUNT; k++) {
		if (roles & smq_role_rows[k].role)
			t->usages[n++] = smq_role_rows[k].oid;
	}
}

/* Nothing outlives its issuer. */
static smq_err fill_times(struct smq_ca_identity *i)
{
	int64_t now = smq_ca_now_ms();
	int64_t from = 0;
	int64_t until = 0;
	smq_err err = smq_ca_validity(smq_ca_dir_issuer(&i->ca), &from, &until);
	if (err != SMQ_OK)
		return err;
	if (until <= now)
		return smq_ca_because(SMQ_ERR_CERT_EXPIRED, "%s: its %s has expired%s", i->ca.dir,
				      i->ca.issuer.len > 0 ? "issuing authority" : "root",
				      i->ca.issuer.len > 0 ? "; `sealmq ca rollover` makes another" : "");
	i->t.not_before_ms = now - SMQ_CA_BACKDATE > from ? now - SMQ_CA_BACKDATE : from;
	i->t.not_after_ms = now + (i->o->days ? i->o->days : SMQ_CA_MEMBER_DAYS) * SMQ_CA_DAY;
	i->t.not_after_ms = i->t.not_after_ms < until ? i->t.not_after_ms : until;
	return SMQ_OK;
}

static smq_err fill_template(struct smq_ca_identity *i)
{
	struct smq_cert_template *t = &i->t;
	smq_err err = fill_times(i);
	if (err != SMQ_OK)
		return err;
	t->common_name = i->name;
	t->path_len = -1;
	t->key_usage = i->curve == SMQ_X25519 ? SMQ_KEY_USAGE_AGREE : SMQ_KEY_USAGE_SIGN;
	t->key_usage |= i->o->key_agreement ? SMQ_KEY_USAGE_AGREE : 0;
	(void)snprintf(i->uri, sizeof(i->uri), "sealmq:%s/%s", i->ca.settings.realm, i->name);
	t->uri = i->uri;
	for (size_t k = 0; k < i->o->dns_count; k++)
		t->dns[k] = i->o->dns[k];
	for (size_t k = 0; k < i->o->ip_count; k++)
		t->ip[k] = i->o->ip[k];
	fill_usages(t, i->roles);
	return smq_ca_new_serial(t->serial);
}

static smq_err fill_issued(struct smq_ca_identity *i)
{
	struct smq_ca_issued *made = &i->issued;
	uint8_t hash[SMQ_HASH_LEN];
	smq_err err = smq_ca_fingerprint(smq_pem_span(&i->cert), hash);
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(hash, sizeof(hash)), made->fingerprint, sizeof(made->fingerprint));
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(i->t.serial, SMQ_SERIAL_LEN), made->serial, sizeof(made->serial));
	if (err != SMQ_OK)
		return err;
	(void)snprintf(made->name, sizeof(made->name), "%s", i->name);
	memcpy(made->issuer, i->ca.issuer_serial, sizeof(made->issuer));
	made->roles = i->roles;
	made->issued_ms = smq_ca_now_ms();
	made->not_before_ms = i->t.not_before_ms;
	made->not_after_ms = i->t.not_after_ms;
	return SMQ_OK;
}

static smq_err lint(const struct smq_ca_identity *i)
{
	const char *wrong = smq_ca_lint(smq_pem_span(&i->cert), smq_file_span(&i->ca.issuer),
					smq_file_span(&i->ca.root), i->roles == SMQ_ROLE_BROKER, smq_ca_now_ms());
	return wrong ? smq_ca_because(SMQ_ERR_CERT_INVALID, "the certificate for %s was not issued: %s", i->name, wrong)
		     : SMQ_OK;
}

static smq_err complete(struct smq_ca_identity *i, smq_err err)
{
	if (err == SMQ_ERR_USAGE && !smq_ca_why()[0])
		return usage("an address given with --ip is none");
	if (err == SMQ_OK)
		err = lint(i);
	if (err == SMQ_OK)
		err = smq_ca_dir_chain(&i->ca, smq_pem_span(&i->cert), &i->chain);
	return err == SMQ_OK ? fill_issued(i) : err;
}

smq_err smq_ca_identity_certify(struct smq_ca_identity *i, smq_span key)
{
	smq_err err = fill_template(i);
	if (err == SMQ_OK && !i->issuer)
		err = smq_ca_key_open_issuer(&i->ca, i->o->passphrase_file, &i->issuer);
	if (err == SMQ_OK)
		err = smq_ca_issuer_certify(i->issuer, &i->t, key, &i->cert);
	return complete(i, err);
}

smq_err smq_ca_identity_make(struct smq_ca_identity *i)
{
	smq_err err = fill_template(i);
	if (err == SMQ_OK && !i->issuer)
		err = smq_ca_key_open_issuer(&i->ca, i->o->passphrase_file, &i->issuer);
	if (err == SMQ_OK)
		err = smq_ca_issuer_make(i->issuer, &i->t, i->curve, &i->key, &i->cert);
	return complete(i, err);
}

smq_err smq_ca_identity_log(const struct smq_ca_identity *i)
{
	struct smq_ca_event e = { .kind = SMQ_CA_ISSUE, .when_ms = i->issued.issued_ms, .issued = i->issued };
	return smq_ca_log_append(i->ca.log, &e, 1, smq_ca_why(), SMQ_WHY_MAX);
}

/* ---- its directory ---- */

static smq_err put(const struct smq_ca_identity *i, const char *made, const char *name, smq_span bytes, mode_t mode)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(made, name, path);
	if (err != SMQ_OK)
		return err;
	return (i->unsynced ? smq_file_create_unsynced : smq_file_create)(path, bytes, mode, smq_ca_why(), SMQ_WHY_MAX);
}

smq_err smq_ca_identity_fill(const struct smq_ca_identity *i, const char *made)
{
	bool broker = i->roles == SMQ_ROLE_BROKER;
	struct smq_file_bytes crl = { NULL, 0 };
	struct smq_file_bytes settings = { NULL, 0 };
	smq_err err = put(i, made, "root.crt", smq_file_span(&i->ca.root), 0644);
	if (err == SMQ_OK)
		err = put(i, made, broker ? "server.crt" : "member.crt", smq_pem_span(&i->chain), 0644);
	if (err == SMQ_OK && i->key.len > 0)
		err = put(i, made, broker ? "server.key" : "member.key", smq_pem_span(&i->key), 0600);
	if (err == SMQ_OK && !broker)
		err = smq_ca_dir_settings(&i->ca, &settings);
	if (err == SMQ_OK && !broker)
		err = put(i, made, "realm.yaml", smq_file_span(&settings), 0644);
	if (err == SMQ_OK)
		err = smq_ca_dir_crl(&i->ca, &crl);
	if (err == SMQ_OK && crl.len > 0)
		err = put(i, made, "crl.pem", smq_file_span(&crl), 0644);
	smq_file_bytes_free(&settings);
	smq_file_bytes_free(&crl);
	return err;
}

void smq_ca_identity_sweep(const struct smq_ca_identity *i)
{
	char path[SMQ_PATH_MAX];
	DIR *dir = opendir(i->members);
	struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (strstr(entry->d_name, ".new-") && smq_path_join(i->members, entry->d_name, path) == SMQ_OK)
			smq_dir_remove(path);
	}
	if (dir)
		closedir(dir);
}

/* The log comes before the name: a certificate that exists is always in it. */
smq_err smq_ca_identity_publish(struct smq_ca_identity *i)
{
	char made[SMQ_PATH_MAX];
	smq_ca_identity_sweep(i);
	smq_err err = smq_ca_make_beside(i->issued.dir, made);
	if (err != SMQ_OK)
		return err;
	err = smq_ca_identity_fill(i, made);
	if (err == SMQ_OK)
		err = smq_ca_identity_log(i);
	if (err == SMQ_OK)
		err = smq_ca_appear(made, i->issued.dir);
	if (err != SMQ_OK)
		smq_dir_remove(made);
	return err;
}
