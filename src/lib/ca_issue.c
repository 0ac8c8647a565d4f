/* Issuing identities: with a key made here, or for a key that stays on its device. */
#include <sealmq/ca.h>

#include <stdio.h>

#include "base/text.h"
#include "lib/ca_identity.h"

static smq_err issue(struct smq_ca_identity *i)
{
	smq_err err = SMQ_OK;
	if (smq_path_there(i->issued.dir))
		return smq_ca_because(SMQ_ERR_EXISTS, "%s: exists already", i->issued.dir);
	err = smq_ca_identity_check_new(i);
	if (err == SMQ_OK)
		err = smq_ca_identity_make(i);
	return err == SMQ_OK ? smq_ca_identity_publish(i) : err;
}

smq_err smq_ca_issue(const char *dir, const struct smq_ca_issue_options *options, struct smq_ca_issued *ret_issued,
		     const char **ret_why)
{
	struct smq_ca_identity i;
	smq_ca_begin(ret_why);
	smq_err err = smq_ca_identity_begin(&i, dir, options, options->name, options->curve);
	if (err == SMQ_OK)
		err = issue(&i);
	if (err == SMQ_OK)
		*ret_issued = i.issued;
	smq_ca_identity_release(&i);
	return smq_ca_finish(err);
}

/* ---- for a request ---- */

static smq_err read_request(smq_span pem, const char *name, struct smq_ca_request *ret_request)
{
	smq_err err = smq_ca_read_request(pem, ret_request);
	if (err == SMQ_ERR_SIGNATURE)
		return smq_ca_because(err, "the request is not signed by the key it asks a certificate for");
	if (err == SMQ_ERR_ALGORITHM)
		return smq_ca_because(err, "the request's key is of a kind that is not used here");
	if (err != SMQ_OK)
		return smq_ca_because(err, "not a signing request in PEM with one common name");
	if (name && strcmp(name, ret_request->name) != 0)
		return smq_ca_because(SMQ_ERR_NAME, "the request is for '%s', not for '%s'", ret_request->name, name);
	return SMQ_OK;
}

static smq_err put(const struct smq_ca_identity *i, const char *name, smq_span bytes)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(i->issued.dir, name, path);
	return err == SMQ_OK ? smq_file_put(path, bytes, 0644, true, smq_ca_why(), SMQ_WHY_MAX) : err;
}

/* The directory of an earlier request of this name; one that holds a key is not touched. */
static smq_err publish_again(struct smq_ca_identity *i)
{
	static const char *const keys[] = { "member.key", "server.key", "member.pem" };
	char path[SMQ_PATH_MAX];
	for (size_t k = 0; k < 3; k++) {
		if (smq_path_join(i->issued.dir, keys[k], path) != SMQ_OK || smq_path_there(path))
			return smq_ca_because(SMQ_ERR_EXISTS, "%s: exists already, with a key of its own",
					      i->issued.dir);
	}
	smq_err err = smq_ca_identity_log(i);
	if (err == SMQ_OK)
		err = put(i, "root.crt", smq_file_span(&i->ca.root));
	return err == SMQ_OK
		   ? put(i, i->roles == SMQ_ROLE_BROKER ? "server.crt" : "member.crt", smq_pem_span(&i->chain))
		   : err;
}

static smq_err sign(struct smq_ca_identity *i, const char *dir, smq_span request_pem,
		    const struct smq_ca_issue_options *options, struct smq_ca_request *request)
{
	smq_err err = read_request(request_pem, options->name, request);
	if (err == SMQ_OK)
		err = smq_ca_identity_begin(i, dir, options, request->name, request->curve);
	if (err == SMQ_OK)
		err = smq_ca_identity_check_new(i);
	return err == SMQ_OK ? smq_ca_identity_certify(i, request_pem) : err;
}

smq_err smq_ca_sign(const char *dir, smq_span request_pem, const struct smq_ca_issue_options *options,
		    struct smq_ca_issued *ret_issued, const char **ret_why)
{
	struct smq_ca_identity i = { .ca = { .log = -1 } };
	struct smq_ca_request request;
	smq_ca_begin(ret_why);
	smq_err err = sign(&i, dir, request_pem, options, &request);
	if (err == SMQ_OK)
		err = smq_path_there(i.issued.dir) ? publish_again(&i) : smq_ca_identity_publish(&i);
	if (err == SMQ_OK)
		*ret_issued = i.issued;
	smq_ca_identity_release(&i);
	return smq_ca_finish(err);
}

smq_err smq_ca_sign_only(const char *dir, smq_span request_pem, const struct smq_ca_issue_options *options,
			 struct smq_pem *ret_chain, struct smq_ca_issued *ret_issued)
{
	struct smq_ca_identity i = { .ca = { .log = -1 } };
	struct smq_ca_request request;
	smq_ca_begin(NULL);
	smq_err err = sign(&i, dir, request_pem, options, &request);
	if (err == SMQ_OK)
		err = smq_ca_identity_log(&i);
	if (err == SMQ_OK) {
		*ret_chain = i.chain;
		*ret_issued = i.issued;
		ret_issued->dir[0] = 0;
		i.chain = (struct smq_pem){ NULL, 0 };
	}
	smq_ca_identity_release(&i);
	return smq_ca_finish(err);
}
