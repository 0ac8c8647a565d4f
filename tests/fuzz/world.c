/* Whole machines under a fuzzer. */
#include "world.h"

#include <string.h>

enum { OPS_MAX = 64, CALM = 0xe0 };

static struct sim world;

static size_t op_count(void) { return bus_op_count + world.scenario->op_count; }

static void act(const uint8_t *data, size_t size)
{
	struct dice d = { .bytes = data + 1, .left = size - 1 }, first = { .state = data[0] };
	world.scenario->up(&world, &first);
	for (int n = 0; n < OPS_MAX && d.left > 0; n++) {
		size_t kind = dice_below(&d, op_count());
		world.at = n;
		if (world.verbose)
			printf("%d %s\n", n, sim_op_of(&world, kind)->name);
		sim_op_of(&world, kind)->run(&world, &d);
		fuzz_operation();
		world.scenario->tick(&world);
	}
	world.at = -2;
	memset(world.cut_off, 0, sizeof(world.cut_off));
	memset(world.skew_ms, 0, sizeof(world.skew_ms));
	bus_deliver_all(&world);
	world.scenario->tick(&world);
	if ((data[0] & CALM) == CALM)
		world.scenario->calm(&world);
	world.scenario->down(&world);
	watch_end(&world);
}

int world_fuzz(const struct scenario *scenario, bool bare, const uint8_t *data, size_t size)
{
	static bool ready;
	if (size == 0)
		return 0;
	if (!ready)
		sim_identities_init();
	ready = true;
	world.scenario = scenario;
	world.bare = bare;
	world.verbose = getenv("FUZZ_VERBOSE") != NULL;
	sim_begin(&world);
	if (setjmp(world.failed)) {
		fprintf(stderr, "%s, operation %d: %s\n", scenario->name, world.at, world.failure);
		abort();
	}
	act(data, size);
	return 0;
}
