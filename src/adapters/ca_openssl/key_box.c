/* Private keys at rest: PKCS#8 encrypted by PBES2 with scrypt and AES-256-CBC (RFC 5958, 8018, 7914). */
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "adapters/ca_openssl/ca_internal.h"

/* 16 MiB and some 40 ms for each guess at the passphrase. */
enum { SCRYPT_N = 16384, SCRYPT_R = 8, SCRYPT_P = 1, SALT_LEN = 16 };

smq_err smq_ca_close_key(smq_span key_pem, smq_span passphrase, struct smq_pem *ret_pem)
{
	smq_err err = SMQ_ERR_CRYPTO;
	EVP_PKEY *key = smq_pem_key(key_pem);
	PKCS8_PRIV_KEY_INFO *plain = key ? EVP_PKEY2PKCS8(key) : NULL;
	X509_ALGOR *pbe = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, SALT_LEN, NULL, SCRYPT_N, SCRYPT_R, SCRYPT_P);
	BIO *bio = BIO_new(BIO_s_mem());
	X509_SIG *box = NULL;

	if (!plain || !pbe || !bio || passphrase.len == 0 || passphrase.len > INT32_MAX)
		goto out;
	box = PKCS8_set0_pbe((const char *)passphrase.p, (int)passphrase.len, plain, pbe);
	if (!box)
		goto out;
	pbe = NULL; /* the box has it */
	if (PEM_write_bio_PKCS8(bio, box) == 1)
		err = smq_pem_take(bio, ret_pem);
out:
	X509_SIG_free(box);
	BIO_free(bio);
	X509_ALGOR_free(pbe);
	PKCS8_PRIV_KEY_INFO_free(plain);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}

static EVP_PKEY *unbox(smq_span pem, smq_span passphrase)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	X509_SIG *box = bio ? PEM_read_bio_PKCS8(bio, NULL, NULL, NULL) : NULL;
	PKCS8_PRIV_KEY_INFO *plain = NULL;
	EVP_PKEY *key = NULL;
	if (box && passphrase.len > 0 && passphrase.len < INT32_MAX)
		plain = PKCS8_decrypt(box, (const char *)passphrase.p, (int)passphrase.len);
	if (plain)
		key = EVP_PKCS82PKEY(plain);
	PKCS8_PRIV_KEY_INFO_free(plain);
	X509_SIG_free(box);
	BIO_free(bio);
	return key;
}

smq_err smq_ca_open_key(smq_span pem, smq_span passphrase, struct smq_pem *ret_key)
{
	static const char mark[] = "-----BEGIN ENCRYPTED ";
	bool boxed = pem.len < INT32_MAX && memmem(pem.p, pem.len, mark, sizeof(mark) - 1) != NULL;
	EVP_PKEY *key = boxed ? unbox(pem, passphrase) : smq_pem_key(pem);
	BIO *bio = BIO_new(BIO_s_secmem());
	smq_err err = boxed ? SMQ_ERR_OPEN : SMQ_ERR_MALFORMED;

	if (key)
		err = SMQ_ERR_CRYPTO;
	if (key && bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		err = smq_pem_take(bio, ret_key);
	BIO_free(bio);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}
