/* Where a realm's TLS files are. */
#include "lib/realm_tls.h"

#include "lib/realm_internal.h"

smq_err smq_realm_tls_fill(struct smq_realm_tls *t, const smq_realm *realm, struct smq_tls_options *tls)
{
	const char **const places[] = { &tls->ca_file, &tls->cert_file, &tls->key_file };
	if (!tls->by_realm)
		return SMQ_OK;
	const char *const names[] = { "root.crt", smq_realm_cert_file(realm), smq_realm_key_file(realm) };
	const size_t count = smq_realm_is_registered(realm) ? 1 : 3; /* no certificate, none to show */
	for (size_t i = 0; i < count; i++) {
		smq_err err = smq_path_join(smq_realm_dir(realm), names[i], t->files[i]);
		if (err != SMQ_OK)
			return err;
		if (!*places[i])
			*places[i] = t->files[i];
	}
	return SMQ_OK;
}

smq_err smq_realm_tls_renew(struct smq_realm_tls *t, const smq_realm *realm, struct smq_tls_options *tls)
{
	if (tls->cert_file == t->files[1])
		tls->cert_file = NULL;
	if (tls->key_file == t->files[2])
		tls->key_file = NULL;
	return smq_realm_tls_fill(t, realm, tls);
}
