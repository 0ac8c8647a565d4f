/*
 * Runs a fuzz target over its corpus, and over mutations of it, as an ordinary test: replay MUTATIONS DIR [BYTES]
 *
 * Every file as it is, every truncation, every single-bit flip (both of its first 400 BYTES at most), and MUTATIONS
 * seeded ones.
 */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

enum { INPUT_MAX = 16384, SWEEP_MAX = 400, EDITS_MAX = 8 };

static uint8_t input[INPUT_MAX], work[INPUT_MAX];
static const uint64_t first_seed = 0x5ea1ed;

/* xorshift64*: the same mutations on every machine. */
static uint32_t draw(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (uint32_t)((*seed * UINT64_C(0x2545f4914f6cdd1d)) >> 32);
}

/* An exactly sized copy, so that a sanitizer sees the first byte read past the end. */
static void feed(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	if (!copy)
		abort();
	memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static size_t load(const char *dir, const char *name)
{
	char path[1024];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		exit(1);
	}
	size_t len = fread(input, 1, sizeof(input), file);
	fclose(file);
	return len;
}

static int is_seed(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static void sweep(size_t len, size_t most)
{
	size_t end = len < most ? len : most;
	for (size_t cut = 0; cut < end; cut++)
		feed(input, cut);
	for (size_t bit = 0; bit < 8 * end; bit++) {
		input[bit / 8] ^= (uint8_t)(1u << bit % 8);
		feed(input, len);
		input[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void mutate(size_t len, uint64_t *seed)
{
	memcpy(work, input, len);
	for (uint32_t edits = draw(seed) % EDITS_MAX + 1; edits > 0 && len > 0; edits--) {
		uint32_t at = draw(seed) % (uint32_t)len;
		switch (draw(seed) % 4) {
		case 0:
			work[at] = (uint8_t)draw(seed);
			break;
		case 1:
			work[at] = (uint8_t)(work[at] + (draw(seed) % 5) - 2);
			break;
		case 2:
			memmove(work + at, work + at + 1, --len - at);
			break;
		default:
			if (len < INPUT_MAX) {
				memmove(work + at + 1, work + at, len++ - at);
				work[at] = (uint8_t)draw(seed);
			}
		}
	}
	feed(work, len);
}

int main(int argc, char **argv)
{
	struct dirent **files = NULL;
	int count = argc == 3 || argc == 4 ? scandir(argv[2], &files, is_seed, alphasort) : -1;
	if (count <= 0) {
		fprintf(stderr, "usage: %s MUTATIONS DIR [BYTES] (with inputs in it)\n", argv[0]);
		return 2;
	}
	int mutations = atoi(argv[1]);
	size_t most = argc == 4 ? (size_t)atoi(argv[3]) : SWEEP_MAX;
	uint64_t seed = first_seed;
	printf("1..3\n");
	for (int i = 0; i < count; i++)
		feed(input, load(argv[2], files[i]->d_name));
	printf("ok 1 - %d inputs of the corpus\n", count);
	for (int i = 0; i < count; i++)
		sweep(load(argv[2], files[i]->d_name), most);
	printf("ok 2 - their truncations and bit flips\n");
	for (int i = 0; i < mutations; i++)
		mutate(load(argv[2], files[draw(&seed) % (uint32_t)count]->d_name), &seed);
	printf("ok 3 - %d mutations from seed %#llx\n", mutations, (unsigned long long)first_seed);
	for (int i = 0; i < count; i++)
		free(files[i]);
	free(files);
	return 0;
}
