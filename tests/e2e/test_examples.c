/* The examples, as a user would run them: against a real broker, between members of a fresh realm. */
#include "cmocka_all.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/ca.h>

#include "broker.h"

enum { ARGS_MAX = 10, OUTPUT_MAX = 4096, PATIENCE_S = 25 };

static struct {
	struct broker broker;
	char ca[256], fridge[300], cellar[300], port[8];
} scene;

struct program {
	pid_t pid;
	int in, out; /* our ends */
};

static void issue(const char *name, char ret_dir[300])
{
	struct smq_ca_issue_options o = { .name = name };
	struct smq_ca_issued issued;
	const char *why = NULL;
	if (smq_ca_issue(scene.ca, &o, &issued, &why) != SMQ_OK)
		fail_msg("issuing %s: %s", name, why);
	snprintf(ret_dir, 300, "%.299s", issued.dir);
}

static int set_up(void **state)
{
	(void)state;
	const char *why = NULL;
	if (broker_start(&scene.broker, &(struct broker_options){ 0 }) != 0)
		return -1;
	snprintf(scene.ca, sizeof(scene.ca), "%s/plant", scene.broker.dir);
	snprintf(scene.port, sizeof(scene.port), "%d", scene.broker.port);
	if (smq_ca_init(scene.ca, NULL, &why) != SMQ_OK) {
		fprintf(stderr, "ca init: %s\n", why);
		return -1;
	}
	issue("fridge-07", scene.fridge);
	issue("cellar", scene.cellar);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	broker_stop(&scene.broker);
	return 0;
}

/* path and what follows, NULL-terminated; standard input and output are ours. It ends when we do. */
static struct program start(const char *const *argv)
{
	int in[2], out[2];
	struct program p;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	p.pid = fork();
	assert_true(p.pid >= 0);
	if (p.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[0]), close(in[1]), close(out[0]), close(out[1]);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(in[0]), close(out[1]);
	p.in = in[1], p.out = out[0];
	return p;
}

static void feed(struct program *p, const char *text)
{
	assert_int_equal(write(p->in, text, strlen(text)), (ssize_t)strlen(text));
	close(p->in);
	p->in = -1;
}

/* Its output until it ends; its exit status. Killed when it takes too long. */
static int finish(struct program *p, char ret_text[OUTPUT_MAX])
{
	size_t len = 0;
	int status = 0;
	time_t until = time(NULL) + PATIENCE_S;
	struct pollfd poll_fd = { .fd = p->out, .events = POLLIN };
	while (len + 1 < OUTPUT_MAX && time(NULL) < until) {
		if (poll(&poll_fd, 1, 500) <= 0)
			continue;
		ssize_t got = read(p->out, ret_text + len, OUTPUT_MAX - 1 - len);
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	ret_text[len] = '\0';
	if (p->in >= 0)
		close(p->in);
	close(p->out);
	if (time(NULL) >= until)
		kill(p->pid, SIGKILL);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void publisher_to_subscriber(void **state)
{
	(void)state;
	char text[OUTPUT_MAX];
	struct program sub =
	    start((const char *[]){ EXAMPLE_SUBSCRIBER, scene.cellar, "127.0.0.1", scene.port, "plant/#", "3", NULL });
	struct program pub = start((const char *[]){ EXAMPLE_PUBLISHER, scene.fridge, "127.0.0.1", scene.port,
						     "plant/cold/1", "cellar", NULL });
	feed(&pub, "4.2\n4.3\n4.4\n");
	assert_int_equal(finish(&pub, text), 0);
	assert_int_equal(finish(&sub, text), 0);
	assert_string_equal(text, "plant/cold/1, from fridge-07: 4.2\nplant/cold/1, from fridge-07: 4.3\n"
				  "plant/cold/1, from fridge-07: 4.4\n");
}

static void somebody_elses_client_receives(void **state)
{
	(void)state;
	char text[OUTPUT_MAX];
	if (!*EXAMPLE_PAHO_MEMBER)
		skip();
	struct program sub = start((const char *[]){ EXAMPLE_PAHO_MEMBER, scene.cellar, "127.0.0.1", scene.port,
						     "fridge-07", "receive", "plant/#", NULL });
	struct program pub = start((const char *[]){ EXAMPLE_PUBLISHER, scene.fridge, "127.0.0.1", scene.port,
						     "plant/cold/1", "cellar", NULL });
	feed(&pub, "4.2\n");
	assert_int_equal(finish(&pub, text), 0);
	assert_int_equal(finish(&sub, text), 0);
	assert_string_equal(text, "plant/cold/1, from fridge-07: 4.2\n");
}

static void somebody_elses_client_sends(void **state)
{
	(void)state;
	char text[OUTPUT_MAX];
	if (!*EXAMPLE_PAHO_MEMBER)
		skip();
	struct program sub =
	    start((const char *[]){ EXAMPLE_SUBSCRIBER, scene.cellar, "127.0.0.1", scene.port, "plant/#", "1", NULL });
	struct program pub = start((const char *[]){ EXAMPLE_PAHO_MEMBER, scene.fridge, "127.0.0.1", scene.port,
						     "cellar", "send", "plant/cold/1", "4.2", NULL });
	assert_int_equal(finish(&pub, text), 0);
	assert_int_equal(finish(&sub, text), 0);
	assert_string_equal(text, "plant/cold/1, from fridge-07: 4.2\n");
}

static void wrong_use_is_said(void **state)
{
	(void)state;
	char text[OUTPUT_MAX];
	struct program p = start((const char *[]){ EXAMPLE_PUBLISHER, NULL });
	assert_int_equal(finish(&p, text), 1);
	p = start(
	    (const char *[]){ EXAMPLE_PUBLISHER, "/nowhere", "127.0.0.1", scene.port, "plant/1", "cellar", NULL });
	assert_int_not_equal(finish(&p, text), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(publisher_to_subscriber),
		cmocka_unit_test(somebody_elses_client_receives),
		cmocka_unit_test(somebody_elses_client_sends),
		cmocka_unit_test(wrong_use_is_said),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
